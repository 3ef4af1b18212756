// The panels beside the picture: the step at hand, the trace, and node_to_grad.

import { useLayoutEffect, useRef } from "preact/hooks";
import { NOT_YET } from "./marks";
import { Maths, Value } from "./maths";
import type { Entry, GraphNode, Step, Trace } from "./model";

export function CurrentStep({ step, node }: { step: Step; node: GraphNode | undefined }) {
  const plain = step.numbers !== "" && step.numbers !== step.value;
  return (
    <section class="step" aria-live="polite" aria-label="This step">
      <div class="equation">
        <span class="left">
          <Maths text={step.name} />
        </span>
        <span class="right">
          {step.formula && <span class="term formula"><Maths text={step.formula} /></span>}
          {plain && <span class="term numbers"><Value text={step.numbers} /></span>}
          <span class="term value" data-current-value>
            <Value text={step.value} />
          </span>
        </span>
      </div>
      {step.says && <p class="says">{step.says}</p>}
      {(node?.line || node?.shape) && (
        <p class="where">
          {node.line && <code>{node.line}</code>}
          {node.shape && <span>shape {node.shape}</span>}
        </p>
      )}
    </section>
  );
}

/** Keeps the current row in view without moving the page. */
function useKeptInView(selector: string, current: unknown) {
  const box = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const host = box.current!;
    const row = host.querySelector<HTMLElement>(selector);
    if (!row) return;
    const head = host.querySelector("thead")?.offsetHeight ?? 0;
    const above = row.offsetTop - head - host.scrollTop;
    const below = row.offsetTop + row.offsetHeight - host.scrollTop - host.clientHeight;
    const room = Math.min(row.offsetHeight, 30); // of the rows next to it
    if (above < room) host.scrollTop += above - room;
    else if (below > -room) host.scrollTop += Math.min(below + room, above);
  }, [current]);
  return box;
}

interface TableProps {
  trace: Trace;
  current: number;
  go: (step: number) => void;
}

export function TraceTable({ trace, current, go }: TableProps) {
  const box = useKeptInView("[aria-current]", `${trace.phase.key}/${current}`);
  const used = new Set(trace.steps[current]!.uses ?? []);
  return (
    <div class="scroll trace" ref={box} tabIndex={0} role="region" aria-label="Trace">
      <table>
        <thead>
          <tr>
            {trace.phase.columns.map((column) => (
              <th scope="col">{column || <span class="unseen">variable</span>}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {trace.rows.map((row) =>
            "fold" in row ? (
              <tr class={row.index < current ? "fold" : "fold later"}>
                <td colSpan={4}>{row.fold}</td>
              </tr>
            ) : (
              <TraceRow
                step={row.step}
                state={row.index === current ? "now" : row.index < current ? "past" : "later"}
                used={used.has(row.step.node)}
                choose={() => go(row.index)}
              />
            ),
          )}
        </tbody>
      </table>
    </div>
  );
}

interface RowProps {
  step: Step;
  state: "past" | "now" | "later";
  used: boolean;
  choose: () => void;
}

function TraceRow({ step, state, used, choose }: RowProps) {
  const known = state !== "later";
  return (
    <tr
      class={`${state}${used && known ? " used" : ""}`}
      aria-current={state === "now" ? "step" : undefined}
      data-row={step.node}
      onClick={choose}
    >
      <th scope="row"><Maths text={step.name} /></th>
      <td><Maths text={step.formula} /></td>
      <td>{known && <Value text={step.numbers} />}</td>
      <td class="value">{known ? <Value text={step.value} /> : <NotYet />}</td>
    </tr>
  );
}

const NotYet = () => (
  <span class="not-yet" title={NOT_YET}>
    not yet
  </span>
);

interface LedgerProps {
  trace: Trace;
  current: number;
  nameOf: (id: string) => string;
}

/** What each node's adjoint has been sent so far, and the sum. */
export function Ledger({ trace, current, nameOf }: LedgerProps) {
  const step = trace.steps[current]!;
  const entries = step.node_to_grad ?? [];
  const adjoint = (id: string) => {
    const found = trace.known.get(id);
    return found && found.from <= current ? found.name : undefined;
  };
  const sends = step.sends ?? [];
  const box = useKeptInView(".fresh", `${trace.phase.key}/${current}`);
  const most = Math.max(...trace.steps.map((step) => step.node_to_grad?.length ?? 0));
  return (
    <section class="ledger" aria-label="node_to_grad" style={{ "--entries": most }}>
      <h2>
        <code>node_to_grad</code>
        <span>partial adjoints received so far, and their sum</span>
      </h2>
      <p class="sends">
        <Maths text={step.name} /> sends {sends.length === 0 && "nothing on"}
        {sends.map((send, i) => (
          <span class="send" data-send={send.to}>
            {i > 0 && ", "}
            <b><Maths text={send.text} /> = <Value text={send.value} /></b>
            {" to "}<Maths text={nameOf(send.to)} />
          </span>
        ))}
      </p>
      <div class="scroll" ref={box} tabIndex={0} role="region" aria-label="Contents">
        {entries.length === 0 ? (
          <p class="empty">empty: no partial adjoint has been sent yet</p>
        ) : (
          <table>
            <tbody>
              {entries.map((entry) => (
                <LedgerRow
                  entry={entry}
                  adjoint={adjoint(entry.node)}
                  fresh={entry.node === step.node || sends.some((send) => send.to === entry.node)}
                />
              ))}
            </tbody>
          </table>
        )}
      </div>
    </section>
  );
}

const negative = (text: string) => /^[-−]/.test(text);

interface LedgerRowProps {
  entry: Entry;
  adjoint: string | undefined;
  fresh: boolean;
}

function LedgerRow({ entry, adjoint, fresh }: LedgerRowProps) {
  return (
    <tr class={fresh ? "fresh" : ""} data-entry={entry.node}>
      <th scope="row"><Maths text={entry.name} /></th>
      <td class="parts">
        {entry.parts.map((part, i) => (
          <>
            {i > 0 && <span class="plus"> + </span>}
            <span class="part">
              <Value text={i > 0 && negative(part) ? `(${part})` : part} />
            </span>
          </>
        ))}
      </td>
      <td class="equals">{entry.sum && "="}</td>
      <td class="sum"><Value text={entry.sum} /></td>
      <td class="state">
        {adjoint ? <Maths text={adjoint} /> : <span class="not-yet">so far</span>}
      </td>
    </tr>
  );
}
