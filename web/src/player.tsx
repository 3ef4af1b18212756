// The page: one position, and everything that follows from it.

import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { Help, IconButton, Tabs, Transport } from "./controls";
import { marks } from "./marks";
import { Maths, Value } from "./maths";
import { type Model, traces } from "./model";
import { CurrentStep, Ledger, TraceTable } from "./parts";
import { Picture } from "./picture";
import * as place from "./position";
import { applyTheme, systemTheme, type Theme } from "./theme";

export type Pictures = Map<string, SVGSVGElement>;

const BEAT = 1600; // milliseconds per step at speed 1
const SETTLED = 250; // the address follows once the reader rests: browsers ration its changes

const PICTURE_NAMES: Record<string, string> = {
  forward: "Graph",
  tangent: "With tangents",
  reverse: "With adjoints",
};

function usePosition(all: ReturnType<typeof traces>) {
  const [where, set] = useState(() => place.fromHash(all, location.hash) ?? place.at(all, 0, 0));
  useLayoutEffect(() => {
    const follow = () => {
      const linked = place.fromHash(all, location.hash);
      if (linked) set(linked);
    };
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, [all]);
  useEffect(() => {
    if (location.protocol === "about:") return; // inside a notebook there is no address to write
    const write = () => history.replaceState(null, "", place.toHash(all, where));
    const timer = setTimeout(write, SETTLED);
    return () => clearTimeout(timer);
  }, [all, where]);
  return [where, set] as const;
}

function usePlay(where: place.Position, last: boolean, advance: () => void) {
  const [playing, setPlaying] = useState(false);
  const [speed, setSpeed] = useState(1);
  useLayoutEffect(() => {
    if (!playing) return;
    if (last) return setPlaying(false);
    const timer = setTimeout(advance, BEAT / speed);
    return () => clearTimeout(timer);
  }, [playing, speed, where, last, advance]);
  return { playing, setPlaying, speed, setSpeed };
}

type Keys = Record<string, () => void>;

function useKeys(keys: Keys) {
  const latest = useRef(keys);
  latest.current = keys;
  useLayoutEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const target = event.target as HTMLElement;
      if (target.closest("select, dialog[open]")) return;
      if (event.key === " " && target.closest("button")) return; // it presses the button
      const action = latest.current[event.key];
      if (!action) return;
      event.preventDefault();
      action();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
}

interface StageProps {
  pictures: Pictures;
  shown: ReturnType<typeof marks>;
  choose: (node: string) => void;
  handle: { current: Picture | null };
}

function Stage({ pictures, shown, choose, handle }: StageProps) {
  const names = [...pictures.keys()];
  const [name, setName] = useState(names[0]!);
  const host = useRef<HTMLDivElement>(null);
  const latest = useRef(choose);
  latest.current = choose;
  useLayoutEffect(() => {
    const picture = new Picture(host.current!, pictures.get(name)!, (id) => latest.current(id));
    handle.current = picture;
    applyTheme(); // the picture brings a style sheet of its own
    return () => picture.viewport.dispose();
  }, [name]);
  useLayoutEffect(() => handle.current!.show(shown), [shown, name]);
  const present = shown.current.some((id) => handle.current?.has(id));
  return (
    <section class="stage" aria-label="Picture of the graph">
      <div class="canvas" ref={host} />
      {handle.current && !present && (
        <p class="absent">This step is inside a part of the graph that the picture folds.</p>
      )}
      {names.length > 1 && (
        <div class="choice" role="group" aria-label="Picture">
          {names.map((key) => (
            <button type="button" aria-pressed={key === name} onClick={() => setName(key)}>
              {PICTURE_NAMES[key] ?? key}
            </button>
          ))}
        </div>
      )}
      <div class="zoom" role="group" aria-label="Zoom">
        <IconButton icon="minus" label="Zoom out" onPress={() => zoom(handle, 1 / 1.3)} />
        <IconButton icon="fit" label="Fit" onPress={() => handle.current!.viewport.fit(true)} />
        <IconButton icon="plus" label="Zoom in" onPress={() => zoom(handle, 1.3)} />
      </div>
    </section>
  );
}

const zoom = (handle: { current: Picture | null }, factor: number) =>
  handle.current?.viewport.zoom(factor);

function Header({ model, children }: { model: Model; children: unknown }) {
  return (
    <header>
      <div class="names">
        <h1><Maths text={model.title} /></h1>
        {model.subtitle && <p><Maths text={model.subtitle} /></p>}
      </div>
      {model.result && model.result.length > 0 && (
        <dl class="result" aria-label="Result">
          {model.result.map(({ name, value }) => (
            <div>
              <dt><Maths text={name} /></dt>
              <dd><Value text={value} /></dd>
            </div>
          ))}
        </dl>
      )}
      <div class="tools">{children as never}</div>
    </header>
  );
}

function useTheme() {
  const [theme, setTheme] = useState<Theme>("auto");
  const shown = theme === "auto" ? systemTheme() : theme;
  const toggle = () => {
    const wanted = shown === "dark" ? "light" : "dark";
    const chosen = wanted === systemTheme() ? "auto" : wanted;
    applyTheme(chosen);
    setTheme(chosen);
  };
  return { dark: shown === "dark", toggle };
}

export function Player({ model, pictures }: { model: Model; pictures: Pictures }) {
  const all = useMemo(() => traces(model), [model]);
  const [where, set] = usePosition(all);
  const [help, setHelp] = useState(false);
  const theme = useTheme();
  const picture = useRef<Picture | null>(null);
  const trace = all[where.phase]!;
  const step = trace.steps[where.step]!;
  const last = where.step === trace.steps.length - 1;
  const advance = useCallback(() => set((from) => place.next(all, from)), [all]);
  const play = usePlay(where, last, advance);
  const nodes = useMemo(() => new Map(model.nodes.map((node) => [node.id, node])), [model]);
  const shown = useMemo(() => marks(model, all, where), [model, all, where]);

  const move = (to: place.Position) => {
    play.setPlaying(false);
    set(to);
  };
  const go = (step: number) => move(place.at(all, where.phase, step));
  const choosePhase = (phase: number) => phase < all.length && move(place.at(all, phase, 0));
  const chooseNode = (id: string) => {
    const extended = trace.steps.findIndex((step) => step.extended === id);
    const found = trace.known.get(id)?.from ?? extended;
    if (found >= 0) go(found);
  };
  const toggle = () => {
    if (!play.playing && last) set(place.at(all, where.phase, 0)); // once more from the start
    play.setPlaying(!play.playing);
  };
  const next = () => move(place.next(all, where));
  const previous = () => move(place.previous(all, where));
  const digits = all.map((_, i) => [String(i + 1), () => choosePhase(i)] as const);
  useKeys({
    ...Object.fromEntries(digits),
    ArrowRight: next,
    ArrowLeft: previous,
    Home: () => go(0),
    End: () => go(Infinity),
    " ": toggle,
    "?": () => setHelp(true),
    "+": () => zoom(picture, 1.3),
    "-": () => zoom(picture, 1 / 1.3),
    "0": () => picture.current?.viewport.fit(true),
  });

  return (
    <div class={`player ${trace.mode}${pictures.size ? "" : " pictureless"}`}>
      <Header model={model}>
        <IconButton
          icon="theme"
          label={theme.dark ? "Light colours" : "Dark colours"}
          onPress={theme.toggle}
        />
        <IconButton icon="help" label="Help" onPress={() => setHelp(true)} />
      </Header>
      <div class="phases">
        <Tabs traces={all} current={where.phase} choose={choosePhase} />
        {trace.phase.about && <p class="about">{trace.phase.about}</p>}
      </div>
      <main>
        <div class="panes" id="panes" role="tabpanel" aria-labelledby={`tab-${where.phase}`}>
          {pictures.size > 0 && (
            <Stage pictures={pictures} shown={shown} choose={chooseNode} handle={picture} />
          )}
          <div class="side">
            <CurrentStep step={step} node={nodes.get(step.node)} />
            {trace.hasLedger && (
              <Ledger
                trace={trace}
                current={where.step}
                nameOf={(id) => nodes.get(id)?.name ?? id}
              />
            )}
            <TraceTable trace={trace} current={where.step} go={go} />
          </div>
        </div>
      </main>
      <Transport
        trace={trace}
        step={where.step}
        playing={play.playing}
        speed={play.speed}
        begin={place.same(place.previous(all, where), where)}
        end={place.same(place.next(all, where), where)}
        following={last ? (all[where.phase + 1]?.phase.title ?? null) : null}
        go={go}
        next={next}
        previous={previous}
        toggle={toggle}
        setSpeed={play.setSpeed}
      />
      <Help open={help} close={() => setHelp(false)} />
    </div>
  );
}
