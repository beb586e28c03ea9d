// The list of jobs: those in line with their progress, and the history. Rows are made once
// and then changed in place, so that the keyboard's focus stays where it is.

import * as api from "./api.js";
import { byId, el, textButton } from "./dom.js";
import { blank, later, thumbnail } from "./thumbnail.js";
import { ago, find, finished, outputSize, pixels, state } from "./words.js";

/** Queue shows the store's jobs. actions: open, cancel, remove, again, reuse, download, each called with a job. */
export class Queue {
  #store;
  #actions;
  #rows = new Map();
  #selected = "";
  #seen = new IntersectionObserver((entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => this.#appear(entry.target)));

  constructor(store, actions) {
    this.#store = store;
    this.#actions = actions;
    store.addEventListener("change", () => this.#draw());
    byId("older").addEventListener("click", () => store.older());
    setInterval(() => this.#draw(), 30000); // "2 min ago" grows old
  }

  /** select marks the job that is looked at. */
  select(id) {
    this.#selected = id;
    this.#draw();
  }

  #draw() {
    const jobs = this.#store.sorted();
    const line = jobs.filter((job) => !finished(job)).reverse(); // first come, first served
    const history = jobs.filter(finished);
    for (const [id, row] of this.#rows) if (!this.#store.jobs.has(id)) this.#forget(id, row);
    this.#place(byId("line"), line);
    this.#place(byId("history"), history);
    byId("line-title").hidden = line.length === 0;
    byId("history-title").hidden = history.length === 0;
    byId("jobs-empty").hidden = jobs.length > 0;
    byId("older").hidden = !this.#store.next;
    byId("badge").hidden = line.length === 0;
    byId("badge").textContent = line.length;
  }

  #place(list, jobs) {
    let at = list.firstElementChild;
    for (const job of jobs) {
      const row = this.#row(job);
      this.#update(row, job);
      if (row.node === at) at = at.nextElementSibling;
      else move(list, row.node, at);
    }
  }

  #forget(id, row) {
    const neighbour = row.node.nextElementSibling ?? row.node.previousElementSibling;
    const focused = row.node.contains(document.activeElement);
    row.node.remove();
    this.#seen.unobserve(row.node);
    this.#rows.delete(id);
    if (focused) (neighbour?.querySelector("button") ?? byId("files")).focus();
  }

  #row(job) {
    let row = this.#rows.get(job.id);
    if (row) return row;
    row = {
      canvas: el("canvas", { class: "thumb", width: 96, height: 96, "aria-hidden": "true" }),
      name: el("span", { class: "name", title: job.input.name }, job.input.name),
      detail: el("span", { class: "detail" }),
      bar: el("progress", { max: 1, value: 0, "aria-label": `Progress of ${job.input.name}` }),
      more: el("div", { class: "more" }),
      offered: "",
    };
    row.open = el("button", { type: "button", class: "open", onclick: () => this.#actions.open(this.#store.jobs.get(job.id)) },
      row.canvas, el("span", { class: "grow" }, row.name, row.detail));
    row.node = el("li", { "data-id": job.id }, row.open, row.bar, row.more);
    this.#rows.set(job.id, row);
    this.#seen.observe(row.node);
    return row;
  }

  #appear(node) {
    this.#seen.unobserve(node);
    const row = this.#rows.get(node.dataset.id);
    later(async () => {
      try {
        await thumbnail(await api.input(node.dataset.id), row.canvas);
      } catch {
        blank(row.canvas); // a format that browsers do not show, or a job that went away
      }
    });
  }

  #update(row, job) {
    row.node.dataset.state = job.state;
    set(row.detail, this.#detail(job));
    row.bar.hidden = job.state !== "running";
    row.bar.value = job.progress?.share ?? 0;
    const selected = job.id === this.#selected;
    if (selected) row.open.setAttribute("aria-current", "true");
    else row.open.removeAttribute("aria-current");
    this.#offer(row, job, selected);
  }

  #detail(job) {
    const words = state(job, this.#store.ahead(job));
    const image = find(job, "image");
    if (job.state === "completed") return `${pixels(image.width, image.height)}, ${ago(job.finished)}`;
    if (finished(job)) return `${words}, ${ago(job.finished)}`;
    const out = outputSize(job.input.width, job.input.height, job.settings);
    return job.state === "running" || !out.width ? words : `${words}, to ${pixels(out.width, out.height)}`;
  }

  /** #offer shows what can be done with a job: one button, and the rest for the selected one. */
  #offer(row, job, selected) {
    const offered = `${job.state} ${selected}`;
    if (row.offered === offered) return;
    const act = (name) => () => this.#actions[name](this.#store.jobs.get(job.id));
    const buttons = [];
    if (job.state === "completed") buttons.push(["download", "Download"]);
    else if (!finished(job)) buttons.push(["close", "Cancel", "cancel"]);
    else buttons.push(["retry", "Try again", "again"]);
    if (selected) {
      buttons.push(["sliders", "Use settings", "reuse"]);
      if (job.state === "completed") buttons.push(["retry", "Run again", "again"]);
      if (finished(job)) buttons.push(["trash", "Remove", "remove"]);
    }
    const focused = row.more.contains(document.activeElement);
    row.offered = offered;
    row.more.replaceChildren(...buttons.map(([name, text, action = name]) => {
      const button = textButton(name, text, act(action), "quiet");
      button.dataset.act = action;
      button.setAttribute("aria-label", `${text}: ${job.input.name}`);
      return button;
    }));
    if (focused) (row.more.querySelector("button") ?? row.open).focus();
  }
}

function set(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** move puts a row before another one and gives it back the focus that moving takes. */
function move(list, node, before) {
  const focused = node.contains(document.activeElement) ? document.activeElement : null;
  list.insertBefore(node, before);
  focused?.focus();
}
