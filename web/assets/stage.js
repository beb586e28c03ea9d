// The picture in the middle: what is shown depends on where the selected job is.

import { byId, el, textButton } from "./dom.js";
import { Live } from "./live.js";
import { Result } from "./result.js";
import { finished, find, outputSize, pixels } from "./words.js";

/** Stage shows one job of the store, or what to do when there is none. */
export class Stage {
  #store;
  #actions;
  #id = "";
  #kind = "";
  #view = null;
  #root = byId("stage");

  constructor(store, actions) {
    this.#store = store;
    this.#actions = actions;
    store.addEventListener("change", (event) => { if (!event.detail || event.detail === this.#id) this.#draw(); });
    store.addEventListener("frame", (event) => { if (event.detail === this.#id) this.#view?.frame?.(); });
    this.#draw();
  }

  /** show chooses the job to look at; "" for none. */
  show(id) {
    this.#id = id;
    this.#draw();
  }

  #draw() {
    const job = this.#store.jobs.get(this.#id);
    const kind = job ? `${job.id} ${finished(job) ? job.state : "live"}` : "";
    if (kind !== this.#kind || !this.#view) this.#change(job, kind);
    this.#view.update(job, job ? this.#store.ahead(job) : 0);
    if (job && !finished(job)) this.#store.watch(job.id);
    else this.#store.unwatch();
  }

  #change(job, kind) {
    const focused = this.#root.contains(document.activeElement);
    this.#view?.close?.();
    this.#kind = kind;
    this.#view = this.#make(job);
    this.#root.replaceChildren(...this.#view.nodes);
    this.#view.shown?.();
    if (focused) byId("picture").focus();
  }

  #make(job) {
    if (!job) return new Empty();
    const film = () => this.#store.films.get(job.id) ?? [];
    if (job.state === "completed") return new Result(job, film(), heading(job, this.#actions), (name) => this.#actions.download(job, name));
    if (finished(job)) return new Ended(job, heading(job, this.#actions));
    return new Live(job, film, heading(job, this.#actions));
  }
}

/**
 * heading is the line above every picture: name, sizes, and the action that is most likely wanted. The value of
 * the button to download is the name of the result that it saves.
 */
function heading(job, actions) {
  const image = find(job, "image") ?? outputSize(job.input.width, job.input.height, job.settings);
  const sizes = `${pixels(job.input.width, job.input.height)}${image.width ? ` to ${pixels(image.width, image.height)}` : ""}`;
  const button = job.state === "completed" ? textButton("download", "Download", () => actions.download(job, button.value || "image"), "primary")
    : finished(job) ? textButton("retry", "Try again", () => actions.again(job))
      : textButton("close", "Cancel", () => actions.cancel(job));
  button.id = "stage-action";
  return el("header", { class: "head" }, el("div", { class: "grow" }, el("h3", { title: job.input.name }, job.input.name), el("p", { class: "detail" }, sizes)), button);
}

class Empty {
  nodes = [el("div", { class: "empty" },
    el("img", { src: "assets/steps.svg", alt: "", width: 368, height: 80 }),
    el("p", { class: "lead" }, "From a few pixels, step by step."),
    el("p", {}, "Choose an image, and watch it come into being here. Then compare it with what it was."))];
  update() {}
}

class Ended {
  constructor(job, head) {
    const failed = job.state === "discarded";
    this.nodes = [head, el("div", { class: "empty" },
      el("p", { class: "lead" }, failed ? "This image could not be enlarged." : "This job was cancelled."),
      failed ? el("p", { class: "error", role: "alert" }, job.fault?.detail ?? "The server gave no reason.") : null,
      failed && job.fault ? el("p", { class: "note" }, el("code", {}, job.fault.code)) : null)];
  }
  update() {}
}

