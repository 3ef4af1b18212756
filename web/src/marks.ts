// What the picture shows at a position: which nodes and edges are lit, and what is written on them.

import type { GraphNode, Model, Step, Trace } from "./model";
import type { Position } from "./position";

export type State = "current" | "used" | "done" | "later";

export interface Label {
  text: string;
  full: string;
  /** "yes": computed; "part": some partial adjoints have arrived; "no": not computed yet. */
  known: "yes" | "part" | "no";
}

export interface Mark {
  state: State;
  target: boolean;
  value: Label;
  /** The tangent or the adjoint, in the phases that have one. */
  derivative: Label | null;
}

export interface Marks {
  nodes: Map<string, Mark>;
  /** The node of the step, and in a picture of the extended graph the node of its derivative. */
  current: string[];
  used: Set<string>;
  targets: Set<string>;
}

const LONGEST = 16;
export const NOT_YET = "not computed yet";

/** A value as it fits on a node: arrays by their shape, long numbers cut. */
function short(text: string, node: GraphNode): string {
  if (text.includes("\n") || text.length > LONGEST) {
    return node.shape ? node.shape : `${text.split("\n")[0]!.slice(0, LONGEST - 1)}…`;
  }
  return text;
}

const missing: Label = { text: "not yet", full: NOT_YET, known: "no" };

function known(name: string, value: string, node: GraphNode): Label {
  return { text: short(value, node), full: `${name} = ${value}`, known: "yes" };
}

function partly(name: string, sum: string, node: GraphNode): Label {
  const full = `${name} so far: ${sum}; more may arrive`;
  return { text: `${short(sum, node)} so far`, full, known: "part" };
}

const byNode = (steps: Step[]) => new Map(steps.map((step) => [step.node, step]));

function derivative(node: GraphNode, trace: Trace, step: Step, done: Map<string, Step>): Label {
  const own = done.get(node.id);
  if (own) return known(own.name, own.value, node);
  const entry = step.node_to_grad?.find((entry) => entry.node === node.id);
  if (entry && trace.mode === "reverse") {
    const coming = trace.steps.find((step) => step.node === node.id);
    return partly(coming ? coming.name : `adjoint of ${entry.name}`, entry.sum, node);
  }
  return missing;
}

/** The nodes of the extended graph that hold the tangents and adjoints of steps. */
function extensions(model: Model, all: Trace[], trace: Trace, where: number, used: Set<string>) {
  const nodes = new Map(model.nodes.map((node) => [node.id, node]));
  const found = new Map<string, Mark>();
  for (const other of all) {
    other.steps.forEach((step, index) => {
      if (step.extended === undefined) return;
      const here = other === trace;
      const done = here && index <= where;
      const value = done ? known(step.name, step.value, nodes.get(step.node)!) : missing;
      const lit = done && used.has(step.node);
      if (lit) used.add(step.extended);
      const state = here && index === where ? "current" : lit ? "used" : done ? "done" : "later";
      found.set(step.extended, { state, target: false, value, derivative: null });
    });
  }
  return found;
}

export function marks(model: Model, all: Trace[], where: Position): Marks {
  const trace = all[where.phase]!;
  const step = trace.steps[where.step]!;
  const done = byNode(trace.steps.slice(0, where.step + 1));
  const forward = trace.mode === "forward" ? trace : all.find((t) => t.mode === "forward");
  const values = trace.mode === "forward" ? done : byNode(forward?.steps ?? []);
  const used = new Set(step.uses ?? []);
  const targets = new Set((step.sends ?? []).map((send) => send.to));
  const nodes = extensions(model, all, trace, where.step, used);
  const stateOf = (id: string): State =>
    id === step.node ? "current" : used.has(id) ? "used" : done.has(id) ? "done" : "later";
  for (const node of model.nodes) {
    const value = values.get(node.id);
    nodes.set(node.id, {
      state: stateOf(node.id),
      target: targets.has(node.id),
      value: value ? known(value.name, value.value, node) : missing,
      derivative: trace.mode === "forward" ? null : derivative(node, trace, step, done),
    });
  }
  const current = step.extended === undefined ? [step.node] : [step.extended, step.node];
  return { nodes, current, used, targets };
}
