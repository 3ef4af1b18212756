// Zoom and pan of a drawing, by wheel, pinch, drag and buttons. What is seen is the viewBox, kept in
// the shape of the element around it, so that one factor serves both directions.

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

const MARGIN = 22; // what hangs over the drawing's edge: labels on its outermost nodes
const CONTROLS = 40; // pixels at the bottom that the buttons lie on
const LARGEST = 1.5; // pixels per unit that a small drawing is blown up to at most
const READABLE = 0.5; // below this, fitting shows nothing: a part is shown instead
const START = 0.9;
const MOST = 8;
const DRAGGED = 5; // pixels until a press becomes a drag

export class Viewport {
  private view: Box = { x: 0, y: 0, width: 1, height: 1 };
  private pointers = new Map<number, PointerEvent>();
  private dragging = false;
  private follow = false; // the reader chose the part seen, or not all fits
  private readonly stop = new AbortController();
  private readonly watch: ResizeObserver;

  constructor(
    private readonly host: HTMLElement,
    private readonly svg: SVGSVGElement,
    private readonly whole: Box,
  ) {
    const on = { signal: this.stop.signal };
    host.addEventListener("wheel", (event) => this.wheel(event), { ...on, passive: false });
    host.addEventListener("pointerdown", (event) => this.down(event), on);
    host.addEventListener("pointermove", (event) => this.move(event), on);
    for (const kind of ["pointerup", "pointercancel"] as const) {
      host.addEventListener(kind, (event) => this.up(event), on);
    }
    // A drag ends in a click, which is not meant for the node under it.
    host.addEventListener("click", (event) => this.dragging && event.stopPropagation(), {
      ...on,
      capture: true,
    });
    this.watch = new ResizeObserver(() => (this.follow ? this.reshape() : this.fit()));
    this.watch.observe(host);
    this.fit();
  }

  dispose() {
    this.stop.abort();
    this.watch.disconnect();
  }

  private size() {
    const { width, height } = this.host.getBoundingClientRect();
    return { width: width || 1, height: height || 1 };
  }

  private scale() {
    return this.size().width / this.view.width;
  }

  private show(middleX: number, middleY: number, scale: number) {
    const { width, height } = this.size();
    const view = { x: 0, y: 0, width: width / scale, height: height / scale };
    view.x = middleX - view.width / 2;
    view.y = middleY - view.height / 2;
    this.view = view;
    this.svg.setAttribute("viewBox", `${view.x} ${view.y} ${view.width} ${view.height}`);
    this.host.classList.toggle("is-zoomed", this.follow);
  }

  /** Shows a place in the middle, or as near to it as leaves nothing empty at the sides. */
  private showPart(x: number, y: number, scale: number) {
    const { width, height } = this.size();
    const { whole } = this;
    const within = (middle: number, start: number, end: number, seen: number) =>
      end - start <= seen
        ? (start + end) / 2
        : Math.min(Math.max(middle, start + seen / 2), end - seen / 2);
    const [right, low] = [whole.x + whole.width + MARGIN, whole.y + whole.height + MARGIN];
    this.show(
      within(x, whole.x - MARGIN, right, width / scale),
      within(y, whole.y - MARGIN, low + CONTROLS / scale, height / scale),
      scale,
    );
  }

  private middle() {
    return { x: this.view.x + this.view.width / 2, y: this.view.y + this.view.height / 2 };
  }

  private fitting() {
    const { width, height } = this.size();
    const both = Math.min(
      width / (this.whole.width + 2 * MARGIN),
      Math.max(height - CONTROLS, 1) / (this.whole.height + 2 * MARGIN),
    );
    return Math.min(both, LARGEST);
  }

  /** Shows everything, or of a drawing too large for that its beginning at a readable size. */
  fit(all = false) {
    const { x, y, width, height } = this.whole;
    const scale = this.fitting();
    this.follow = !all && scale < READABLE;
    if (this.follow) this.showPart(x, y, START);
    else this.show(x + width / 2, y + height / 2 + CONTROLS / 2 / scale, scale);
  }

  private reshape() {
    const { x, y } = this.middle();
    this.show(x, y, this.scale());
  }

  /** Zooms by a factor; the point of the screen given, or the middle, stays where it is. */
  zoom(factor: number, client?: { clientX: number; clientY: number }) {
    const before = this.scale();
    const least = Math.min(this.fitting(), READABLE) / 2;
    const after = Math.min(Math.max(before * factor, least), MOST);
    const { x, y } = this.middle();
    const fixed = client ? this.point(client) : { x, y };
    const share = before / after;
    this.follow = true;
    this.show(fixed.x + (x - fixed.x) * share, fixed.y + (y - fixed.y) * share, after);
  }

  private point({ clientX, clientY }: { clientX: number; clientY: number }) {
    const frame = this.host.getBoundingClientRect();
    const scale = this.scale();
    return {
      x: this.view.x + (clientX - frame.left) / scale,
      y: this.view.y + (clientY - frame.top) / scale,
    };
  }

  /** Brings a place of the drawing into view where the reader looks at a part of it. */
  reveal(place: Box) {
    const { x, y, width, height } = this.view;
    const inside =
      place.x >= x &&
      place.y >= y &&
      place.x + place.width <= x + width &&
      place.y + place.height <= y + height;
    if (inside || !this.follow) return;
    this.showPart(place.x + place.width / 2, place.y + place.height / 2, this.scale());
  }

  private wheel(event: WheelEvent) {
    // Where the page scrolls (a phone, a small window), the plain wheel belongs to the page.
    const scrolls = document.documentElement.scrollHeight > innerHeight + 1;
    if (scrolls && !event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    this.zoom(Math.exp(-event.deltaY * lines * 0.0016), event);
  }

  private down(event: PointerEvent) {
    if (event.button !== 0) return;
    if (this.pointers.size === 0) this.dragging = false;
    this.pointers.set(event.pointerId, event);
  }

  private move(event: PointerEvent) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const [dx, dy] = [event.clientX - before.clientX, event.clientY - before.clientY];
    if (!this.dragging && this.pointers.size === 1 && Math.hypot(dx, dy) < DRAGGED) return;
    if (!this.dragging) {
      this.dragging = true;
      for (const id of this.pointers.keys()) this.host.setPointerCapture(id);
    }
    if (this.pointers.size === 1) {
      this.follow = true;
      const { x, y } = this.middle();
      this.show(x - dx / this.scale(), y - dy / this.scale(), this.scale());
    } else {
      this.pinch(before, event);
    }
    this.pointers.set(event.pointerId, event);
  }

  private pinch(before: PointerEvent, now: PointerEvent) {
    const other = [...this.pointers.values()].find((p) => p.pointerId !== now.pointerId);
    if (!other) return;
    const apart = (p: PointerEvent) =>
      Math.hypot(p.clientX - other.clientX, p.clientY - other.clientY) || 1;
    this.zoom(apart(now) / apart(before), {
      clientX: (now.clientX + other.clientX) / 2,
      clientY: (now.clientY + other.clientY) / 2,
    });
  }

  private up(event: PointerEvent) {
    this.pointers.delete(event.pointerId);
  }
}
