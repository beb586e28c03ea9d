// Two pictures of the same thing on top of each other, and a line to move between them.
// Places are fractions of the picture, so that they mean the same at any zoom.

import { el } from "./dom.js";
import { Lens } from "./lens.js";

/**
 * Compare has one node, viewer. Its pictures are shown as wide as the result. onunseen, if set, is called when the
 * browser cannot show one of them.
 */
export class Compare {
  #width;
  #height;
  #zoom = "fit";
  #split = 0.5; // of the visible part of the picture, from the left
  #before = el("img", { class: "before", alt: "", draggable: false });
  #after = el("img", { class: "after", alt: "", draggable: false });
  #overlay = el("img", { class: "overlay", alt: "", draggable: false, hidden: true });
  #sheet = el("div", { class: "sheet" }, this.#after, this.#overlay, this.#before);
  #pan = el("div", { class: "pan" }, this.#sheet);
  #handle = el("div", { class: "split", role: "slider", tabIndex: 0, "aria-label": "Line between before and after", "aria-orientation": "horizontal",
    "aria-valuemin": "0", "aria-valuemax": "100" }, el("span", { class: "grip" }));
  #left = el("p", { class: "tag left" }, "Before");
  #right = el("p", { class: "tag right" }, "After");
  #resized = new ResizeObserver(() => this.#layout());

  constructor(width, height) {
    this.#width = width;
    this.#height = height;
    this.lens = new Lens((x, y) => this.#place(x, y));
    this.viewer = el("div", { class: "viewer compare" }, this.#pan, this.#left, this.#right, this.#handle, this.lens.node);
    for (const image of [this.#before, this.#after, this.#overlay]) {
      image.addEventListener("error", () => { image.classList.add("unseen"); this.onunseen?.(); });
      image.addEventListener("load", () => image.classList.remove("unseen"));
    }
    this.#pan.addEventListener("scroll", () => this.#layout());
    this.viewer.addEventListener("pointerdown", (event) => this.#press(event));
    this.viewer.addEventListener("pointermove", (event) => this.#move(event));
    this.#handle.addEventListener("keydown", (event) => this.#key(event));
    this.#resized.observe(this.viewer);
  }

  /** setBefore and setAfter say what lies on the two sides. */
  setBefore(url, alt) { this.#before.src = url; this.#before.alt = alt; this.lens.setBefore(url); }
  setAfter(url, label) {
    this.#after.src = url;
    this.#after.alt = `${label}, enlarged`;
    this.#right.textContent = label;
    this.lens.setAfter(url, label);
  }

  /**
   * setOverlay lays a map over the after side, as opaque as share, 0 to 1, says. The map has a pixel for each of the result's,
   * from the upper left, and a legend beyond them, which is not shown.
   */
  setOverlay(url, map, share) {
    if (this.#overlay.getAttribute("src") !== url) this.#overlay.src = url;
    Object.assign(this.#overlay.style, { width: `${(100 * map.width) / this.#width}%`, height: `${(100 * map.height) / this.#height}%` });
    this.#overlay.alt = "Where the draws differ";
    this.#overlay.hidden = share === 0;
    this.#overlay.style.opacity = share;
  }

  /** setPixels chooses the nearest pixels instead of the browser's smooth enlargement. */
  setPixels(on) { this.viewer.classList.toggle("pixels", on); }

  /** setZoom takes "fit", or "one" for a pixel of the result on each of the screen. */
  setZoom(zoom) {
    this.#zoom = zoom;
    this.viewer.classList.toggle("one", zoom === "one");
    this.#layout();
    if (zoom === "one") this.#pan.scrollTo((this.#pan.scrollWidth - this.#pan.clientWidth) / 2, (this.#pan.scrollHeight - this.#pan.clientHeight) / 2);
  }

  get #scale() {
    const { clientWidth, clientHeight } = this.viewer;
    return this.#zoom === "one" ? 1 / devicePixelRatio : Math.min(clientWidth / this.#width, clientHeight / this.#height);
  }

  /** #visible is where the picture is seen, in the viewer's pixels. */
  get #visible() {
    const { offsetLeft, offsetTop, offsetWidth, offsetHeight } = this.#sheet;
    const { scrollLeft, scrollTop, clientWidth, clientHeight } = this.#pan;
    const left = Math.max(0, offsetLeft - scrollLeft);
    const top = Math.max(0, offsetTop - scrollTop);
    return { left, top, width: Math.min(clientWidth, offsetLeft - scrollLeft + offsetWidth) - left, height: Math.min(clientHeight, offsetTop - scrollTop + offsetHeight) - top };
  }

  #layout() {
    const scale = this.#scale;
    this.#sheet.style.width = `${this.#width * scale}px`;
    this.#sheet.style.height = `${this.#height * scale}px`;
    const { left, top, width, height } = this.#visible;
    const x = left + this.#split * width;
    const inSheet = x + this.#pan.scrollLeft - this.#sheet.offsetLeft;
    this.#before.style.clipPath = `inset(0 calc(100% - ${inSheet}px) 0 0)`;
    Object.assign(this.#handle.style, { left: `${x}px`, top: `${top}px`, height: `${height}px` });
    for (const [tag, side] of [[this.#left, left], [this.#right, this.viewer.clientWidth - left - width]]) {
      tag.style.top = `${top + 10}px`;
      tag.style[tag === this.#left ? "left" : "right"] = `${side + 10}px`;
    }
    this.#left.hidden = this.#split * width < 74;
    this.#right.hidden = (1 - this.#split) * width < 74;
    const percent = Math.round(this.#split * 100);
    this.#handle.setAttribute("aria-valuenow", percent);
    this.#handle.setAttribute("aria-valuetext", `${percent} percent before`);
    this.lens.layout();
  }

  /** split moves the line to a fraction of the visible picture. */
  split(share) {
    this.#split = Math.min(Math.max(share, 0), 1);
    this.#layout();
  }

  #key(event) {
    const step = event.shiftKey ? 0.1 : 0.02;
    const to = { ArrowLeft: this.#split - step, ArrowDown: this.#split - step, ArrowRight: this.#split + step, ArrowUp: this.#split + step,
      PageDown: this.#split - 0.1, PageUp: this.#split + 0.1, Home: 0, End: 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.split(to);
  }

  /** #press begins a drag: anywhere when the whole picture is seen, else by the line alone. */
  #press(event) {
    if (event.button !== 0 || this.lens.node.contains(event.target)) return;
    const byLine = this.#handle.contains(event.target);
    if (!byLine && this.lens.on) this.#move(event);
    if (!byLine && (this.lens.on || this.#zoom === "one")) return;
    event.preventDefault();
    this.#handle.focus({ preventScroll: true });
    const follow = (to) => {
      const { left, width } = this.#visible;
      this.split((to.clientX - this.viewer.getBoundingClientRect().left - left) / width);
    };
    const end = () => {
      this.viewer.removeEventListener("pointermove", follow);
      this.viewer.removeEventListener("pointerup", end);
      this.viewer.removeEventListener("pointercancel", end);
    };
    this.viewer.setPointerCapture(event.pointerId);
    this.viewer.addEventListener("pointermove", follow);
    this.viewer.addEventListener("pointerup", end);
    this.viewer.addEventListener("pointercancel", end);
    follow(event);
  }

  #move(event) {
    if (!this.lens.on || this.#handle.contains(event.target)) return;
    const box = this.#sheet.getBoundingClientRect();
    this.lens.look((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  }

  /** #place says where a point of the picture is: in the viewer, and how large the picture is there. */
  #place(x, y) {
    const sheet = this.#sheet.getBoundingClientRect();
    const viewer = this.viewer.getBoundingClientRect();
    return { left: sheet.left - viewer.left + x * sheet.width, top: sheet.top - viewer.top + y * sheet.height,
      width: sheet.width, height: sheet.height, viewerWidth: viewer.width, viewerHeight: viewer.height };
  }

  /** close stops the watching of sizes. */
  close() { this.#resized.disconnect(); }
}
