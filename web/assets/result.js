// A finished job: before and after, the draws side by side, the steps that led here, and
// what was used.

import { announce } from "./announce.js";
import { Compare } from "./compare.js";
import { el, icon, segments, setError } from "./dom.js";
import { facts } from "./facts.js";
import { Film } from "./film.js";
import { Pictures } from "./pictures.js";
import { drawsOf, gallery } from "./samples.js";
import { find } from "./words.js";

const PREFERRED = "sr3.before"; // how the reader likes the before side
const UNSEEN = "This browser cannot show one of the pictures, because of its type. The result can be downloaded.";

/**
 * Result is a view of the stage. frames are the previews of the refinement, if they were seen; download is called with
 * the name of a result.
 */
export class Result {
  #job;
  #pictures;
  #compare;
  #parts = {};
  #error = el("p", { class: "error", role: "alert", hidden: true });
  #body = el("div", { class: "result" });
  #zoom;
  #lensButton;
  #tabs;
  #save; // downloads what is on the after side

  constructor(job, frames, head, download) {
    this.#job = job;
    this.#pictures = new Pictures(job.id);
    const image = find(job, "image");
    this.#compare = new Compare(image.width, image.height);
    this.#compare.onunseen = () => setError(this.#error, UNSEEN);
    this.draws = drawsOf(job);
    this.#parts.compare = [this.#tools(), this.#compare.viewer];
    const tabs = [["compare", "Compare"]];
    if (this.draws.length > 1) {
      tabs.push(["draws", "Draws"]);
      this.#parts.draws = [gallery(job, this.draws, this.#pictures, (draw) => this.#pick(draw), download)];
    }
    if (frames.length > 0) {
      tabs.push(["steps", "Steps"]);
      const film = new Film(true, `A step of ${job.input.name}`);
      this.#parts.steps = [film.view, film.strip];
      film.show(frames);
    }
    this.#tabs = tabs.length > 1 ? segments("What to show", "part", tabs, "compare", (part) => this.#show(part)) : null;
    this.#save = head.lastElementChild;
    if (this.#tabs) head.insertBefore(this.#tabs, head.lastElementChild);
    this.nodes = [head, this.#error, this.#body, facts(job)];
    this.#body.addEventListener("keydown", (event) => this.#key(event));
    this.#show("compare");
    this.#load();
  }

  update() {}

  shown() { announce(`${this.#job.input.name} is done`); }

  #show(part) {
    this.#body.replaceChildren(...this.#parts[part]);
    this.#body.dataset.part = part;
  }

  async #load() {
    try {
      const [before, after] = await Promise.all([this.#pictures.url("input"), this.#pictures.url("image")]);
      this.#compare.setBefore(before, `${this.#job.input.name} as it was sent`);
      this.#compare.setAfter(after, this.draws.length > 1 ? this.draws[0].label : "After");
    } catch (error) {
      if (error.name !== "AbortError") setError(this.#error, error.message);
    }
  }

  /** #pick puts one of the draws, or their mean, on the after side. */
  async #pick(draw) {
    try {
      this.#compare.setAfter(await this.#pictures.url(draw.name), draw.label);
    } catch (error) {
      setError(this.#error, error.message);
      return;
    }
    this.#chooser.value = draw.name;
    this.#save.value = draw.name;
    this.#save.title = `Download ${draw.label.toLowerCase()}`;
    const tab = this.#tabs?.querySelector("[value=compare]");
    if (tab && !tab.checked) {
      tab.checked = true;
      this.#show("compare");
      tab.focus();
    }
  }

  #chooser = null;

  #tools() {
    const before = localStorage.getItem(PREFERRED) === "pixels" ? "pixels" : "smooth";
    this.#compare.setPixels(before === "pixels");
    this.#zoom = segments("Zoom", "zoom", [["fit", "Fit"], ["one", "1:1"]], "fit", (zoom) => this.#compare.setZoom(zoom));
    const tools = el("div", { class: "tools", role: "group", "aria-label": "How to look" },
      segments("Before", "before", [["smooth", "Smooth"], ["pixels", "Pixels"]], before, (mode) => {
        this.#compare.setPixels(mode === "pixels");
        localStorage.setItem(PREFERRED, mode);
      }, true), this.#zoom, this.#lensTools());
    if (this.draws.length > 1) tools.append(this.#drawTools());
    return tools;
  }

  #lensTools() {
    const { lens } = this.#compare;
    const factor = el("input", { type: "range", min: 2, max: 8, step: 1, value: lens.factor, hidden: true, "aria-label": "Magnification of the lens",
      oninput: (event) => lens.magnify(event.target.valueAsNumber) });
    const button = el("button", { type: "button", class: "plain", id: "lens", "aria-pressed": "false", onclick: () => { lens.toggle(); if (lens.on) lens.focus(); } },
      icon("lens"), el("span", {}, "Lens"));
    this.#lensButton = button;
    lens.onchange = () => {
      if (!lens.on && this.#compare.viewer.contains(document.activeElement)) button.focus();
      button.setAttribute("aria-pressed", String(lens.on));
      button.lastChild.textContent = lens.on ? `Lens ${lens.factor}×` : "Lens";
      factor.hidden = !lens.on;
      factor.value = lens.factor;
      factor.setAttribute("aria-valuetext", `${lens.factor} times`);
    };
    return el("div", { class: "together" }, button, factor);
  }

  #drawTools() {
    this.#chooser = el("select", { id: "draw", "aria-label": "After", onchange: (event) => this.#pick(this.draws.find((draw) => draw.name === event.target.value)) },
      ...this.draws.map((draw) => el("option", { value: draw.name }, draw.label)));
    const nodes = [this.#chooser];
    if (find(this.#job, "deviation")) {
      nodes.push(el("label", { class: "together" }, "Deviation",
        el("input", { type: "range", id: "deviation", min: 0, max: 100, step: 5, value: 0, "aria-valuetext": "0 percent", oninput: (event) => this.#overlay(event.target) })));
    }
    return el("div", { class: "together row-end" }, ...nodes);
  }

  async #overlay(range) {
    range.setAttribute("aria-valuetext", `${range.value} percent`);
    try {
      const url = await this.#pictures.url("deviation");
      this.#compare.setOverlay(url, find(this.#job, "deviation"), range.valueAsNumber / 100);
    } catch (error) {
      setError(this.#error, error.message);
    }
  }

  /** #key takes the shortcuts, which hold while the focus is in the picture and not in a field. */
  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select, input:not([type=range], [type=radio])")) return;
    const key = event.key.toLowerCase();
    if (key === "l") this.#lensButton.click();
    else if (key === "f" || key === "1") this.#zoom.querySelector(`[value=${key === "f" ? "fit" : "one"}]`).click();
    else return;
    event.preventDefault();
  }

  close() {
    this.#compare.close();
    this.#pictures.close();
  }
}
