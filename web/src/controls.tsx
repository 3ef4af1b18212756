// The transport bar, the phases, and the help.

import { useLayoutEffect, useRef } from "preact/hooks";
import type { Trace } from "./model";

const ICONS = {
  first: "M6 5v14M19 5l-9 7 9 7z",
  previous: "M16 5l-9 7 9 7z",
  play: "M7 4.5l12 7.5-12 7.5z",
  pause: "M8 5v14M16 5v14",
  next: "M8 5l9 7-9 7z",
  last: "M18 5v14M5 5l9 7-9 7z",
  plus: "M12 6v12M6 12h12",
  minus: "M6 12h12",
  fit: "M5 10V5h5M14 5h5v5M19 14v5h-5M10 19H5v-5",
  theme: "M12 4a8 8 0 1 0 0 16zM12 4a8 8 0 0 1 0 16",
  help: "M9 9.2a3 3 0 1 1 4.4 2.7c-.9.5-1.4 1-1.4 2.1M12 17.2v.3",
};

interface ButtonProps {
  icon: keyof typeof ICONS;
  label: string;
  onPress: () => void;
  disabled?: boolean;
  class?: string;
  pressed?: boolean;
}

/** A press by pointer leaves the focus where it is, so that the space bar goes on meaning "play". */
const keepFocus = (event: Event) => event.preventDefault();

export function IconButton({ icon, label, onPress, disabled, class: name, pressed }: ButtonProps) {
  return (
    <button
      type="button"
      class={`icon ${name ?? ""}`}
      aria-label={label}
      title={label}
      aria-pressed={pressed}
      aria-disabled={disabled || undefined}
      onMouseDown={keepFocus}
      onClick={() => !disabled && onPress()}
    >
      <svg viewBox="0 0 24 24" aria-hidden="true">
        <path d={ICONS[icon]} class={icon} />
      </svg>
    </button>
  );
}

interface TabsProps {
  traces: Trace[];
  current: number;
  choose: (phase: number) => void;
}

export function Tabs({ traces, current, choose }: TabsProps) {
  const bar = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const tab = bar.current!.children[current] as HTMLElement;
    bar.current!.scrollLeft = tab.offsetLeft - (bar.current!.clientWidth - tab.offsetWidth) / 2;
  }, [current]);
  return (
    <div class="tabs" role="tablist" aria-label="Phases" ref={bar}>
      {traces.map(({ phase, mode }, i) => (
        <button
          type="button"
          role="tab"
          id={`tab-${i}`}
          class={mode}
          aria-selected={i === current}
          aria-controls="panes"
          onMouseDown={keepFocus}
          onClick={() => choose(i)}
        >
          {phase.title}
        </button>
      ))}
    </div>
  );
}

export const SPEEDS = [0.5, 1, 2, 4];

interface TransportProps {
  trace: Trace;
  step: number;
  playing: boolean;
  speed: number;
  begin: boolean;
  end: boolean;
  following: string | null;
  go: (step: number) => void;
  next: () => void;
  previous: () => void;
  toggle: () => void;
  setSpeed: (speed: number) => void;
}

export function Transport(props: TransportProps) {
  const { trace, step, playing, speed, begin, end, following, go } = props;
  const last = trace.steps.length - 1;
  const spoken = `step ${step + 1} of ${last + 1}: ${trace.steps[step]!.name}`;
  return (
    <div class="transport" role="group" aria-label="Steps">
      <div class="buttons">
        <IconButton icon="first" label="First step" onPress={() => go(0)} disabled={step === 0} />
        <IconButton icon="previous" label="Previous step" onPress={props.previous} disabled={begin} />
        <IconButton
          icon={playing ? "pause" : "play"}
          label={playing ? "Pause" : "Play"}
          class="play"
          onPress={props.toggle}
        />
        <IconButton
          icon="next"
          label={following ? `Next phase: ${following}` : "Next step"}
          class={following ? "onward" : ""}
          onPress={props.next}
          disabled={end}
        />
        <IconButton icon="last" label="Last step" onPress={() => go(last)} disabled={step === last} />
      </div>
      <input
        type="range"
        min={1}
        max={last + 1}
        value={step + 1}
        disabled={last === 0}
        aria-label="Step"
        aria-valuetext={spoken}
        style={{ "--part": last ? step / last : 0 }}
        onInput={(event) => go(Number(event.currentTarget.value) - 1)}
      />
      <output class="count">
        <b>{step + 1}</b> of {last + 1}
      </output>
      <label class="speed">
        <span class="unseen">Speed</span>
        <select
          value={String(speed)}
          onChange={(event) => props.setSpeed(Number(event.currentTarget.value))}
        >
          {SPEEDS.map((speed) => (
            <option value={String(speed)}>{speed === 0.5 ? "½" : speed}×</option>
          ))}
        </select>
      </label>
    </div>
  );
}

const KEYS: [string[], string][] = [
  [["←", "→"], "one step back, one step on; past the end, the next phase"],
  [["Home", "End"], "first step, last step"],
  [["Space"], "play, pause"],
  [["1", "2", "3", "…"], "phase"],
  [["+", "−", "0"], "zoom in, zoom out, fit the picture"],
  [["?"], "this help"],
];

export function Help({ open, close }: { open: boolean; close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    if (open) dialog.current!.showModal();
    else dialog.current!.close();
  }, [open]);
  return (
    <dialog
      ref={dialog}
      class="help"
      aria-labelledby="help-title"
      onClose={close}
      onClick={(event) => event.target === dialog.current && close()}
    >
      <div>
        <h2 id="help-title">Keys</h2>
        <dl>
          {KEYS.map(([keys, meaning]) => (
            <div>
              <dt>{keys.map((key) => <kbd>{key}</kbd>)}</dt>
              <dd>{meaning}</dd>
            </div>
          ))}
        </dl>
        <p>
          Click a row or a node to go to its step. Drag to move the picture; turn the wheel or pinch
          to zoom. The address of the page names the step, so a link to it can be kept or shared.
        </p>
        <button type="button" class="close" onClick={close}>
          Close
        </button>
      </div>
    </dialog>
  );
}
