// Where the reader stands: a phase and a step of it, both counted from 0, and the link to it.

import type { Trace } from "./model";

export interface Position {
  phase: number;
  step: number;
}

const clamp = (value: number, last: number) => Math.min(Math.max(value, 0), Math.max(last, 0));

export function at(traces: Trace[], phase: number, step: number): Position {
  const which = clamp(phase, traces.length - 1);
  return { phase: which, step: clamp(step, traces[which]!.steps.length - 1) };
}

/** One step on; from the last step of a phase to the first of the next. */
export function next(traces: Trace[], from: Position): Position {
  const last = traces[from.phase]!.steps.length - 1;
  if (from.step >= last && from.phase + 1 < traces.length) return at(traces, from.phase + 1, 0);
  return at(traces, from.phase, from.step + 1);
}

/** One step back; from the first step of a phase to the last of the one before. */
export function previous(traces: Trace[], from: Position): Position {
  if (from.step <= 0 && from.phase > 0) return at(traces, from.phase - 1, Infinity);
  return at(traces, from.phase, from.step - 1);
}

export const same = (a: Position, b: Position) => a.phase === b.phase && a.step === b.step;

export function toHash(traces: Trace[], where: Position): string {
  return `#${encodeURIComponent(traces[where.phase]!.phase.key)}/${where.step + 1}`;
}

/** The position a link names, or null where it names none: then the reader stays put. */
export function fromHash(traces: Trace[], hash: string): Position | null {
  const match = /^#([^/]+)(?:\/(\d+))?$/.exec(hash);
  if (!match) return null;
  let key = match[1]!;
  try {
    key = decodeURIComponent(key);
  } catch (error) {
    if (!(error instanceof URIError)) throw error; // a stray % is part of the name
  }
  const phase = traces.findIndex((trace) => trace.phase.key === key);
  return phase < 0 ? null : at(traces, phase, Number(match[2] ?? 1) - 1);
}
