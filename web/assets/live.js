// A job that waits or runs: the newest estimate, how far it is, and the steps so far.

import { announce } from "./announce.js";
import { el } from "./dom.js";
import { Film } from "./film.js";
import { Pictures } from "./pictures.js";
import { noiseLevel, state } from "./words.js";

/** Live is a view of the stage. film is a function that returns the frames so far. */
export class Live {
  #film;
  #frames;
  #pictures;
  #status = el("p", { class: "status" });
  #gamma = el("p", { class: "gamma", hidden: true });
  #bar = el("progress", { max: 1, "aria-label": "Progress of the refinement" });
  #said = "";

  constructor(job, film, head) {
    this.#frames = film;
    this.#film = new Film(true, `Estimate of ${job.input.name}`);
    this.#pictures = new Pictures(job.id);
    this.#pictures.url("input").then((url) => this.#film.base(url), () => {});
    this.nodes = [head, this.#film.view,
      el("div", { class: "progress" }, this.#status, this.#gamma, this.#bar), this.#film.strip];
  }

  shown() { this.frame(); }

  /** frame takes in a new preview. */
  frame() { this.#film.show(this.#frames()); }

  /** update shows where the job is. */
  update(job, ahead) {
    const words = state(job, ahead);
    this.#status.textContent = words.charAt(0).toUpperCase() + words.slice(1);
    const p = job.state === "running" ? job.progress : null;
    this.#gamma.hidden = !p;
    if (p) this.#gamma.replaceChildren("noise level ", el("abbr", { title: "gamma: 0 is noise, 1 is clean" }, "γ"), ` ${noiseLevel(p.gamma)}`);
    this.#bar.hidden = !p;
    this.#bar.value = p?.share ?? 0;
    this.#speak(job, words, p);
  }

  /** #speak says each quarter once, not each step. */
  #speak(job, words, p) {
    const mark = p ? `${job.state} ${Math.floor(p.share * 4)}` : words;
    if (mark === this.#said) return;
    this.#said = mark;
    announce(`${job.input.name}: ${p ? `${Math.round(p.share * 100)} percent` : words}`);
  }

  close() { this.#pictures.close(); }
}
