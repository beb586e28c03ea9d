// Sends the images that wait, one after the other, with the settings of the form. A server
// that is full is asked again when it says; a broken connection is waited out. Neither
// makes a job twice.

import * as api from "./api.js";
import { announce } from "./announce.js";
import { byId, setError } from "./dom.js";
import { count } from "./words.js";

const PATIENCE = 5; // seconds before a busy server is asked again if it does not say

/** Submitter owns the button. It tells of "job" (detail: the job) for each that was accepted. */
export class Submitter extends EventTarget {
  #intake;
  #settings;
  #sending = false;

  constructor(intake, settings) {
    super();
    this.#intake = intake;
    this.#settings = settings;
    intake.addEventListener("change", () => this.#show());
    byId("settings").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
  }

  #ready() { return this.#intake.items.filter((item) => !item.fatal); }

  #show() {
    const count = this.#ready().length;
    const button = byId("submit");
    button.disabled = count === 0 || this.#sending;
    button.textContent = this.#sending ? "Sending" : count > 1 ? `Enlarge ${count} images` : "Enlarge";
  }

  async #send() {
    if (this.#sending || !this.#settings.valid()) return;
    setError(byId("submit-error"), "");
    this.#sending = true;
    this.#show();
    const settings = this.#settings.values();
    let accepted = 0;
    for (const item of this.#ready()) if (await this.#one(item, settings)) accepted++;
    this.#sending = false;
    if (accepted > 0) {
      this.#settings.submitted();
      announce(`${count(accepted, "job")} accepted`);
    }
    this.#show();
  }

  async #one(item, settings) {
    const once = api.onceKey();
    this.#intake.complain(item, "");
    try {
      const job = await patiently(() => api.submit(item.file, item.file.name, settings, once), (text) => this.#intake.note(item, text));
      this.#intake.drop(item);
      this.dispatchEvent(new CustomEvent("job", { detail: job }));
      return true;
    } catch (error) {
      this.#intake.note(item, "Not sent");
      if (error.code === "settings-invalid" || error.code === "model-unknown") setError(byId("submit-error"), error.message);
      else this.#intake.complain(item, error.message);
      return false;
    }
  }

  /** again makes a new job of another one's image and settings. */
  async again(job) {
    const once = api.onceKey();
    const image = await api.input(job.id);
    const fresh = await patiently(() => api.submit(image, job.input.name, job.settings, once), announce);
    this.dispatchEvent(new CustomEvent("job", { detail: fresh }));
  }
}

/** patiently makes a request until the server has room for it and can be reached. */
async function patiently(request, say) {
  for (;;) {
    say("Sending");
    try {
      return await request();
    } catch (error) {
      if (error instanceof api.Offline) {
        say("Waits for the connection");
        await api.untilUp();
      } else if (error instanceof api.Problem && error.busy) {
        const seconds = error.retryAfter || PATIENCE;
        say(`The server is busy: again in ${seconds} s`);
        await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
      } else {
        throw error;
      }
    }
  }
}
