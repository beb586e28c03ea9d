// What the page knows of the jobs of this key: the server's list, asked for again while
// something is in line, and the events of the one job that is looked at.

import * as api from "./api.js";
import { watch } from "./events.js";
import { finished } from "./words.js";

const PAGE = 50; // jobs asked for at once
const BUSY = 1500; // milliseconds between two looks while jobs are in line
const IDLE = 20000;
const FILMS = 8; // jobs whose previews are kept
const FRAMES = 200; // of one job; beyond that every other one is dropped

/**
 * Store tells of "change" (detail: the id, or null for the list as a whole), of "frame" (detail:
 * id) when a preview came, and of "trouble" (detail: a sentence, or "") when the list cannot be read.
 */
export class Store extends EventTarget {
  jobs = new Map();
  films = new Map(); // id -> frames, the latest job last
  next = ""; // the id before which older jobs are
  #timer = 0;
  #wait = 0;
  #watching = null;

  /** sorted returns the jobs, newest first. */
  sorted() { return [...this.jobs.values()].sort((a, b) => (a.id < b.id ? 1 : -1)); }

  /** ahead counts the waiting jobs that come before a waiting one. */
  ahead(job) {
    return [...this.jobs.values()].filter((other) => other.id < job.id && !finished(other) && other.state !== "running").length;
  }

  /** put takes in what the server said of a job; older news than what is known is left out. */
  put(job) {
    const known = this.jobs.get(job.id);
    if (known && (known.attempt > job.attempt || (finished(known) && !finished(job)))) return;
    if (known?.state === "running" && job.state === "running" && known.attempt === job.attempt &&
      (known.progress?.share ?? 0) > (job.progress?.share ?? 0)) return;
    this.jobs.set(job.id, job);
    if (known && JSON.stringify(known) === JSON.stringify(job)) return;
    this.#tell("change", job.id);
    if (!known) this.#schedule(BUSY);
  }

  /** drop forgets a job. */
  drop(id) {
    this.films.delete(id);
    if (this.jobs.delete(id)) this.#tell("change", id);
  }

  /** refresh asks for the newest jobs now and then again from time to time. */
  async refresh() {
    clearTimeout(this.#timer);
    const before = [...this.jobs.keys()];
    try {
      const { jobs, next } = await api.list(PAGE);
      this.#wait = 0;
      const oldest = jobs.at(-1)?.id ?? "";
      const listed = new Set(jobs.map((job) => job.id));
      for (const id of before) if (!listed.has(id) && (!next || id > oldest)) this.drop(id);
      if (![...this.jobs.keys()].some((id) => id < oldest)) this.next = next ?? "";
      jobs.forEach((job) => this.put(job));
      this.#tell("trouble", "");
      this.#tell("change", null);
    } catch (error) {
      this.#wait = Math.min(15000, (this.#wait || 500) * 2);
      if (error instanceof api.Problem && error.status !== 401) this.#tell("trouble", error.message);
    }
    const line = [...this.jobs.values()].some((job) => !finished(job));
    this.#schedule(this.#wait || (line ? BUSY : IDLE));
  }

  #schedule(ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => (document.hidden ? this.#schedule(ms) : this.refresh()), ms);
  }

  /** older asks for the jobs before the oldest one known. */
  async older() {
    const { jobs, next } = await api.list(PAGE, this.next);
    this.next = next ?? "";
    jobs.forEach((job) => this.put(job));
    this.#tell("change", null);
  }

  /** watch follows the events of one job, and of no other, until it has ended. */
  watch(id) {
    if (this.#watching?.id === id && !this.#watching.control.signal.aborted) return;
    this.unwatch();
    const control = new AbortController();
    this.#watching = { id, control };
    watch(id, (name, job) => this.#event(name, job), control.signal)
      .catch((error) => { if (error.status === 404 || error.status === 410) this.drop(id); })
      .finally(() => control.abort());
  }

  /** unwatch stops following. */
  unwatch() {
    this.#watching?.control.abort();
    this.#watching = null;
  }

  #event(name, job) {
    const { preview, ...rest } = job;
    this.put(rest);
    if (name !== "step" || !preview || !job.progress) return;
    let film = this.films.get(job.id) ?? [];
    if (film.at(-1)?.attempt !== job.attempt) film = []; // another worker began anew
    if (film.length >= FRAMES) film = film.filter((_, i) => i % 2 === 0);
    film.push({ url: preview, progress: job.progress, attempt: job.attempt });
    this.films.delete(job.id);
    this.films.set(job.id, film);
    if (this.films.size > FILMS) this.films.delete(this.films.keys().next().value);
    this.#tell("frame", job.id);
  }

  #tell(kind, detail) { this.dispatchEvent(new CustomEvent(kind, { detail })); }
}
