// What the Python side writes into the page, and the few questions asked of it everywhere.

export interface GraphNode {
  id: string;
  name: string;
  op?: string;
  formula?: string;
  shape?: string;
  line?: string;
}

export interface Send {
  to: string;
  text: string;
  value: string;
}

export interface Entry {
  node: string;
  name: string;
  parts: string[];
  sum: string;
}

export interface Step {
  node: string;
  name: string;
  formula: string;
  numbers: string;
  value: string;
  uses?: string[];
  says?: string;
  sends?: Send[];
  node_to_grad?: Entry[];
  /** The node that holds this adjoint or tangent in a picture of the extended graph. */
  extended?: string;
}

/** Steps that look like others and are told in one line; what they compute is known all the same. */
export interface Fold {
  fold: true;
  text: string;
  covers?: Known[];
}

export interface Known {
  node: string;
  name: string;
  value: string;
}

export interface Phase {
  key: string;
  title: string;
  about?: string;
  columns: string[];
  steps: (Step | Fold)[];
}

export interface Model {
  title: string;
  subtitle?: string;
  nodes: GraphNode[];
  phases: Phase[];
  result?: { name: string; value: string }[];
}

export type Mode = "forward" | "tangent" | "reverse";

/** A row of a table: a step with its place among the steps, or a fold with that of the step before. */
export type Row = { step: Step; index: number } | { fold: string; index: number };

export interface Trace {
  phase: Phase;
  mode: Mode;
  rows: Row[];
  steps: Step[];
  /** What the phase computes, by node, and from which step on it is known. */
  known: Map<string, Known & { from: number }>;
  hasLedger: boolean;
}

export function isFold(row: Step | Fold): row is Fold {
  return "fold" in row && row.fold;
}

function mode(key: string): Mode {
  const word = key.split(":")[0];
  return word === "tangent" || word === "reverse" ? word : "forward";
}

/** One trace per phase: folded rows stand in the table, but are no step to stop at. */
export function traces(model: Model): Trace[] {
  return model.phases.map((phase) => {
    const rows: Row[] = [];
    const steps: Step[] = [];
    const known: Trace["known"] = new Map();
    const last = phase.steps.filter((row) => !isFold(row)).length - 1;
    for (const row of phase.steps) {
      // What a fold covers is known with the step after it, or at the end.
      const from = Math.min(steps.length, last);
      if (isFold(row)) {
        rows.push({ fold: row.text, index: steps.length - 1 });
        for (const covered of row.covers ?? []) known.set(covered.node, { ...covered, from });
      } else {
        rows.push({ step: row, index: steps.length });
        known.set(row.node, { node: row.node, name: row.name, value: row.value, from });
        steps.push(row);
      }
    }
    const hasLedger = steps.some((step) => step.node_to_grad !== undefined);
    return { phase, mode: mode(phase.key), rows, steps, known, hasLedger };
  });
}
