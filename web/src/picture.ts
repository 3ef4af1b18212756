// The picture of the graph: lights nodes and edges, and hangs values and adjoints on the nodes.
// It relies on g.node[data-node] and g.edge[data-from][data-to] only; how nodes look is the SVG's.

import type { Label, Marks } from "./marks";
import { NOT_YET } from "./marks";
import { type Box, Viewport } from "./viewport";

const SVG = "http://www.w3.org/2000/svg";
const SHAPES = "rect, ellipse, circle, polygon, path";
const STATES = ["current", "used", "done", "later", "apart"].map((state) => `is-${state}`);

const OUTSIDE = 0.42; // how far a tag's middle is from the border, by the size of its text

interface Drawn {
  group: SVGGElement;
  frame: Box; // of the node's shape, in the node's own coordinates
  tags: SVGGElement;
  size: number; // of the text of its tags
  written: string; // what its tags say
}

export class Picture {
  readonly viewport: Viewport;
  private readonly nodes = new Map<string, Drawn>();
  private readonly edges: SVGElement[];

  constructor(
    host: HTMLElement,
    private readonly svg: SVGSVGElement,
    choose: (id: string) => void,
  ) {
    svg.removeAttribute("width");
    svg.removeAttribute("height");
    host.replaceChildren(svg);
    for (const group of svg.querySelectorAll<SVGGElement>("g.node[data-node]")) {
      const id = group.dataset.node!;
      group.querySelector(".tags")?.remove();
      const shape = group.querySelector<SVGGraphicsElement>(SHAPES);
      shape?.classList.add("player-shape");
      const frame = (shape ?? group).getBBox();
      const tags = element("g", "tags");
      group.onclick = () => choose(id);
      const font = getComputedStyle(group.querySelector("text") ?? group).fontSize;
      this.nodes.set(id, { group, frame, tags, size: parseFloat(font) * 0.82, written: "" });
    }
    const whole = svg.getBBox(); // before anything is hung on its nodes
    this.edges = [...svg.querySelectorAll<SVGElement>("g.edge[data-from]")];
    for (const { group, tags } of this.nodes.values()) group.append(tags);
    this.viewport = new Viewport(host, svg, whole);
  }

  has(id: string) {
    return this.nodes.has(id);
  }

  show(marks: Marks) {
    for (const [id, drawn] of this.nodes) {
      const mark = marks.nodes.get(id);
      drawn.group.classList.remove(...STATES, "is-target");
      if (mark) drawn.group.classList.add(`is-${mark.state}`);
      drawn.group.classList.toggle("is-target", mark?.target ?? false);
      hang(drawn, mark?.value ?? null, mark?.derivative ?? null);
    }
    this.light(marks);
    const seen = marks.current.find((id) => this.nodes.has(id));
    if (seen) this.viewport.reveal(this.placeOf(this.nodes.get(seen)!));
  }

  private light({ current, used, targets, nodes }: Marks) {
    const later = (id: string) => nodes.get(id)?.value?.known === "no";
    for (const edge of this.edges) {
      const { from = "", to = "" } = edge.dataset;
      const other = current.includes(from) ? to : current.includes(to) ? from : null;
      edge.classList.toggle("is-used", other !== null && used.has(other));
      edge.classList.toggle("is-sending", other !== null && targets.has(other));
      edge.classList.toggle("is-later", later(from) || later(to));
    }
  }

  private placeOf({ group, frame }: Drawn): Box {
    const toSvg = this.svg.getScreenCTM()!.inverse().multiply(group.getScreenCTM()!);
    const corner = new DOMPoint(frame.x, frame.y).matrixTransform(toSvg);
    return { x: corner.x, y: corner.y, width: frame.width * toSvg.a, height: frame.height * toSvg.d };
  }
}

function element<K extends keyof SVGElementTagNameMap>(name: K, className: string) {
  const made = document.createElementNS(SVG, name);
  made.setAttribute("class", className);
  return made;
}

/** Writes on a node what it is to say; most nodes go on saying what they said. */
function hang(drawn: Drawn, value: Label | null, derivative: Label | null) {
  const { frame, size } = drawn;
  const written = JSON.stringify([value, derivative]);
  if (written === drawn.written) return;
  const tags = [];
  const below = frame.y + frame.height + OUTSIDE * size;
  if (value) tags.push(tag("value", value, frame, below, size));
  if (derivative) tags.push(tag("derivative", derivative, frame, frame.y - OUTSIDE * size, size));
  drawn.tags.replaceChildren(...tags);
  drawn.written = written;
}

const measure = document.createElement("canvas").getContext("2d")!;

function lengthOf(text: string, size: number, bold: boolean) {
  const face = getComputedStyle(document.documentElement).getPropertyValue("--prose");
  measure.font = `${bold ? 600 : 400} ${size}px ${face}`;
  return measure.measureText(text).width;
}

/** A small plate on the right end of a node's upper or lower border. */
function tag(kind: string, label: Label, frame: Box, y: number, size: number) {
  const group = element("g", `tag ${kind} known-${label.known}`);
  const title = element("title", "");
  title.textContent = label.known === "no" ? NOT_YET : label.full;
  const text = element("text", "");
  text.textContent = label.text;
  text.style.fontSize = `${size}px`;
  const bold = kind === "derivative" && label.known === "yes";
  text.style.fontWeight = bold ? "600" : "400";
  const width = Math.max(lengthOf(label.text, size, bold) + 0.95 * size, 1.9 * size);
  const height = 1.5 * size;
  const right = Math.max(frame.x + frame.width + 0.5 * size, frame.x + width - 0.5 * size);
  const plate = element("rect", "");
  const sides = { x: right - width, y: y - height / 2, width, height, rx: height / 2 };
  for (const [name, value] of Object.entries(sides)) plate.setAttribute(name, String(value));
  text.setAttribute("x", String(right - width / 2));
  text.setAttribute("y", String(y + 0.35 * size));
  group.append(title, plate, text);
  return group;
}
