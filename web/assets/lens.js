// A magnifier that shows the same spot of both sides at once. It follows the pointer, or
// the arrow keys when it has the focus.

import { el } from "./dom.js";

const MIN = 2;
const MAX = 8;
const GAP = 18; // pixels between the spot and the lens

/** Lens has one node, to lie in the viewer. place(x, y) says where a point of the picture is seen. */
export class Lens {
  on = false;
  factor = 4;
  #place;
  #x = 0.5;
  #y = 0.5;
  #before = el("img", { alt: "", draggable: false });
  #after = el("img", { alt: "", draggable: false });
  #label = el("span", {}, "After");
  #spot = el("div", { class: "spot", tabIndex: 0, role: "application", "aria-label": "Lens. Arrow keys move it, plus and minus magnify, Escape closes it." });
  #glass = el("div", { class: "glass" },
    el("div", { class: "pane" }, this.#before, el("span", {}, "Before")),
    el("div", { class: "pane" }, this.#after, this.#label));

  constructor(place) {
    this.#place = place;
    this.node = el("div", { class: "lens", hidden: true }, this.#spot, this.#glass);
    this.#spot.addEventListener("keydown", (event) => this.#key(event));
  }

  setBefore(url) { this.#before.src = url; }
  setAfter(url, label) { this.#after.src = url; this.#label.textContent = label; }

  /** toggle opens or closes the lens. onchange, if set, is told. */
  toggle(on = !this.on) {
    this.on = on;
    this.node.hidden = !on;
    if (on) this.layout();
    this.onchange?.();
  }

  /** focus gives the lens the keyboard. */
  focus() { this.#spot.focus({ preventScroll: true }); }

  /** magnify sets how many times larger than around it things are shown, 2 to 8. */
  magnify(factor) {
    this.factor = Math.min(Math.max(factor, MIN), MAX);
    this.layout();
    this.onchange?.();
  }

  /** look moves the lens to a point of the picture, in fractions of it. */
  look(x, y) {
    this.#x = Math.min(Math.max(x, 0), 1);
    this.#y = Math.min(Math.max(y, 0), 1);
    this.layout();
  }

  /** layout draws the lens where it is now. */
  layout() {
    if (!this.on) return;
    const at = this.#place(this.#x, this.#y);
    Object.assign(this.#spot.style, { left: `${at.left}px`, top: `${at.top}px` });
    const { offsetWidth, offsetHeight } = this.#glass;
    const above = at.top - GAP - offsetHeight;
    const left = Math.min(Math.max(at.left - offsetWidth / 2, 4), Math.max(4, at.viewerWidth - offsetWidth - 4));
    const top = above >= 4 ? above : Math.min(at.top + GAP, at.viewerHeight - offsetHeight - 4);
    Object.assign(this.#glass.style, { left: `${left}px`, top: `${top}px` });
    for (const image of [this.#before, this.#after]) {
      const pane = image.parentElement;
      const width = at.width * this.factor;
      const height = at.height * this.factor;
      Object.assign(image.style, { width: `${width}px`, height: `${height}px`,
        left: `${pane.clientWidth / 2 - this.#x * width}px`, top: `${pane.clientHeight / 2 - this.#y * height}px` });
    }
  }

  #key(event) {
    const step = event.shiftKey ? 0.1 : 0.01;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (event.key in moves) this.look(this.#x + moves[event.key][0], this.#y + moves[event.key][1]);
    else if (event.key === "+" || event.key === "=") this.magnify(this.factor + 1);
    else if (event.key === "-") this.magnify(this.factor - 1);
    else if (event.key === "Escape") this.toggle(false);
    else return;
    event.preventDefault();
  }
}
