// What the picture shows at a position: which nodes and edges are lit, and what is written on them.

import type { Entry, GraphNode, Known, Model, Trace } from "./model";
import type { Position } from "./position";

/** "apart": this phase does not say whether the node is computed. */
export type State = "current" | "used" | "done" | "later" | "apart";

export interface Label {
  text: string;
  full: string;
  /** "yes": computed; "part": some partial adjoints have arrived; "no": not computed yet. */
  known: "yes" | "part" | "no";
}

export interface Mark {
  state: State;
  target: boolean;
  value: Label | null;
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

function known({ name, value }: Known, node: GraphNode): Label {
  return { text: short(value, node), full: `${name} = ${value}`, known: "yes" };
}

/** What a phase has to say of a node at a step: its value, that it is not computed yet, or nothing. */
function label(trace: Trace | undefined, node: GraphNode, step: number): Label | null {
  const found = trace?.known.get(node.id);
  if (!found) return null;
  return found.from <= step ? known(found, node) : missing;
}

/** An adjoint before its node's turn: the sum of what has arrived, or the parts not summed yet. */
function partly(name: string, { parts, sum }: Entry, node: GraphNode): Label {
  const whole = sum || parts.join(" + ");
  const text = sum || whole.length <= LONGEST ? short(whole, node) : `${parts.length} parts`;
  return { text: `${text} so far`, full: `${name} so far: ${whole}; more may arrive`, known: "part" };
}

function adjoint(node: GraphNode, trace: Trace, where: number): Label | null {
  const own = trace.known.get(node.id);
  const entry = trace.steps[where]!.node_to_grad?.find((entry) => entry.node === node.id);
  if (!entry || trace.mode !== "reverse" || (own && own.from <= where)) {
    return label(trace, node, where);
  }
  return partly(own?.name ?? `adjoint of ${entry.name}`, entry, node);
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
      const value = done ? known(step, nodes.get(step.node)!) : missing;
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
  const isForward = trace.mode === "forward";
  const forward = isForward ? trace : all.find((other) => other.mode === "forward");
  const used = new Set(step.uses ?? []);
  const targets = new Set((step.sends ?? []).map((send) => send.to));
  const nodes = extensions(model, all, trace, where.step, used);
  const stateOf = (id: string): State => {
    if (id === step.node) return "current";
    if (used.has(id)) return "used";
    const found = trace.known.get(id);
    return !found ? "apart" : found.from <= where.step ? "done" : "later";
  };
  for (const node of model.nodes) {
    nodes.set(node.id, {
      state: stateOf(node.id),
      target: targets.has(node.id),
      value: label(forward, node, isForward ? where.step : Infinity),
      derivative: isForward ? null : adjoint(node, trace, where.step),
    });
  }
  const current = step.extended === undefined ? [step.node] : [step.extended, step.node];
  return { nodes, current, used, targets };
}
