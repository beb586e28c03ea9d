// The steps of a refinement as a strip of small pictures, and the chosen one large. Arrow
// keys walk through it; while it follows the refinement, the newest is chosen.

import { el } from "./dom.js";

/** Film has two nodes, view and strip. Frames are { url, progress, … }. */
export class Film {
  #frames = [];
  #chosen = -1;
  #follow;
  #image = el("img", { alt: "", draggable: false });
  #label = el("p", { class: "tag left" });

  constructor(follow, alt) {
    this.#follow = follow;
    this.#image.alt = alt;
    this.#image.addEventListener("error", () => this.#image.classList.add("unseen"));
    this.view = el("div", { class: "viewer still" }, this.#image, this.#label);
    this.strip = el("div", { class: "strip", role: "toolbar", "aria-label": "Steps so far" });
    this.strip.addEventListener("keydown", (event) => this.#walk(event));
    this.strip.hidden = true;
  }

  /** base shows a picture until there are frames. */
  base(url) {
    if (this.#frames.length === 0) this.#image.src = url;
  }

  /** show takes in the frames there are by now. */
  show(frames) {
    const same = frames.length >= this.#frames.length && this.#frames.every((frame, i) => frame === frames[i]);
    if (!same) this.strip.replaceChildren();
    const chosen = this.#frames[this.#chosen];
    this.#frames = [...frames];
    for (const frame of frames.slice(this.strip.children.length)) this.strip.append(this.#thumb(frame));
    this.strip.hidden = frames.length === 0;
    const kept = frames.indexOf(chosen);
    if (frames.length > 0) this.#choose(this.#follow || kept < 0 ? frames.length - 1 : kept);
  }

  #thumb(frame) {
    const { draw, draws, step } = frame.progress;
    const name = draws > 1 ? `${draw}·${step}` : `${step}`;
    return el("button", { type: "button", tabIndex: -1, "aria-label": draws > 1 ? `Draw ${draw}, step ${step}` : `Step ${step}`, onclick: () => this.pick(this.#frames.indexOf(frame)) },
      el("img", { src: frame.url, alt: "", draggable: false }), el("span", { "aria-hidden": "true" }, name));
  }

  /** pick chooses a frame as a reader does: the last one is followed on. */
  pick(index) {
    this.#follow = index === this.#frames.length - 1;
    this.#choose(index);
  }

  #choose(index) {
    const before = this.strip.children[this.#chosen];
    before?.removeAttribute("aria-current");
    if (before) before.tabIndex = -1;
    this.#chosen = index;
    const { url, progress } = this.#frames[index];
    this.#image.classList.remove("unseen");
    this.#image.src = url;
    this.#label.textContent = `Step ${progress.step} of ${progress.steps}`;
    const now = this.strip.children[index];
    now.setAttribute("aria-current", "true");
    now.tabIndex = 0;
    const { strip } = this;
    if (now.offsetLeft < strip.scrollLeft) strip.scrollLeft = now.offsetLeft;
    const end = now.offsetLeft + now.offsetWidth - strip.clientWidth;
    if (end > strip.scrollLeft) strip.scrollLeft = end;
  }

  #walk(event) {
    const last = this.#frames.length - 1;
    const to = { ArrowLeft: this.#chosen - 1, ArrowRight: this.#chosen + 1, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.pick(Math.min(Math.max(to, 0), last));
    this.strip.children[this.#chosen].focus();
  }
}
