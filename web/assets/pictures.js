// Pictures of a job in memory. They are read with the key's header and shown from there,
// because an address must not hold a key.

import * as api from "./api.js";

/** Pictures holds the images of one job until close. */
export class Pictures {
  #id;
  #made = new Map();
  #control = new AbortController();

  constructor(id) { this.#id = id; }

  /** url returns a local address of a result, or of the "input". */
  url(name) {
    if (!this.#made.has(name)) this.#made.set(name, this.#read(name));
    return this.#made.get(name);
  }

  async #read(name) {
    const { signal } = this.#control;
    try {
      return URL.createObjectURL(await (name === "input" ? api.input(this.#id, signal) : api.result(this.#id, name, signal)));
    } catch (error) {
      this.#made.delete(name); // the next look tries again
      throw error;
    }
  }

  /** close gives the memory back. */
  close() {
    this.#control.abort();
    for (const url of this.#made.values()) url.then((made) => URL.revokeObjectURL(made), () => {});
  }
}
