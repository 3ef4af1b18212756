// The picture of the graph: lights nodes and edges, and hangs values and adjoints on the nodes.
// It relies on g.node[data-node] and g.edge[data-from][data-to] only; how nodes look is the SVG's.

import type { Label, Mark, Marks } from "./marks";
import { NOT_YET } from "./marks";
import { type Box, Viewport } from "./viewport";

const SVG = "http://www.w3.org/2000/svg";
const SHAPES = "rect, ellipse, circle, polygon, path";
const STATES = ["current", "used", "done", "later"].map((state) => `is-${state}`);

const OUTSIDE = 0.42; // how far a tag's middle is from the border, by the size of its text

interface Drawn {
  group: SVGGElement;
  frame: Box; // of the node's shape, in the node's own coordinates
  tags: SVGGElement;
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
    const { x, y, width, height } = boxOf(svg);
    for (const group of svg.querySelectorAll<SVGGElement>("g.node[data-node]")) {
      const id = group.dataset.node!;
      group.querySelector(".tags")?.remove();
      const shape = group.querySelector<SVGGraphicsElement>(SHAPES);
      shape?.classList.add("player-shape");
      const frame = (shape ?? group).getBBox();
      const tags = element("g", "tags");
      group.append(tags);
      group.onclick = () => choose(id);
      this.nodes.set(id, { group, frame, tags });
    }
    this.edges = [...svg.querySelectorAll<SVGElement>("g.edge[data-from]")];
    this.viewport = new Viewport(host, svg, { x, y, width, height });
  }

  has(id: string) {
    return this.nodes.has(id);
  }

  show(marks: Marks) {
    const extended = marks.extended !== undefined && this.nodes.has(marks.extended);
    const own = marks.nodes.get(marks.current);
    for (const [id, drawn] of this.nodes) {
      const mark = marks.nodes.get(id);
      drawn.group.classList.remove(...STATES, "is-target");
      drawn.tags.replaceChildren();
      if (mark) {
        drawn.group.classList.add(`is-${mark.state}`);
        drawn.group.classList.toggle("is-target", mark.target);
        this.hang(drawn, mark);
      } else if (extended && id === marks.extended && own) {
        drawn.group.classList.add("is-current");
        this.hang(drawn, { ...own, value: own.derivative ?? own.value, derivative: null });
      }
    }
    this.light(marks);
    const seen = this.nodes.get(extended ? marks.extended! : marks.current);
    if (seen) this.viewport.reveal(this.placeOf(seen));
  }

  private light({ current, used, targets, nodes }: Marks) {
    for (const edge of this.edges) {
      const { from = "", to = "" } = edge.dataset;
      const other = from === current ? to : to === current ? from : null;
      edge.classList.toggle("is-used", other !== null && used.has(other));
      edge.classList.toggle("is-sending", other !== null && targets.has(other));
      const later = (id: string) => nodes.get(id)?.value.known === "no";
      edge.classList.toggle("is-later", later(from) || later(to));
    }
  }

  private hang({ group, frame, tags }: Drawn, mark: Mark) {
    const size = parseFloat(getComputedStyle(group.querySelector("text") ?? group).fontSize) * 0.82;
    const below = frame.y + frame.height + OUTSIDE * size;
    tags.append(tag("value", mark.value, frame, below, size));
    if (!mark.derivative) return;
    tags.append(tag("derivative", mark.derivative, frame, frame.y - OUTSIDE * size, size));
  }

  private placeOf({ group, frame }: Drawn): Box {
    const toSvg = this.svg.getScreenCTM()!.inverse().multiply(group.getScreenCTM()!);
    const corner = new DOMPoint(frame.x, frame.y).matrixTransform(toSvg);
    return { x: corner.x, y: corner.y, width: frame.width * toSvg.a, height: frame.height * toSvg.d };
  }
}

function boxOf(svg: SVGSVGElement): Box {
  const stated = svg.dataset.box ?? svg.getAttribute("viewBox");
  if (stated === null) return svg.getBBox();
  svg.dataset.box = stated; // the viewport overwrites viewBox
  const [x = 0, y = 0, width = 1, height = 1] = stated.split(/[\s,]+/).map(Number);
  return { x, y, width, height };
}

function element<K extends keyof SVGElementTagNameMap>(name: K, className: string) {
  const made = document.createElementNS(SVG, name);
  made.setAttribute("class", className);
  return made;
}

/** A small plate on the right end of a node's upper or lower border. */
function tag(kind: string, label: Label, frame: Box, y: number, size: number) {
  const group = element("g", `tag ${kind} known-${label.known}`);
  const title = element("title", "");
  title.textContent = label.known === "no" ? NOT_YET : label.full;
  const text = element("text", "");
  text.textContent = label.text;
  text.style.fontSize = `${size}px`;
  // Glyphs of the page's face are a little over half as wide as high; the plate is cut to them.
  const width = Math.max(([...label.text].length * 0.53 + 0.95) * size, 1.9 * size);
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
