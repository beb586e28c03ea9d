// Asks before something is lost.

import { byId } from "./dom.js";

let asked = null; // ends what was asked last

/**
 * confirmed shows a sentence and tells whether the reader agreed. It listens to the buttons and not to the dialog's
 * "close", which comes later and could belong to the question before.
 */
export function confirmed(text) {
  const dialog = byId("confirm-dialog");
  asked?.abort();
  asked = new AbortController();
  const { signal } = asked;
  byId("confirm-text").textContent = text;
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("submit", (event) => { resolve(event.submitter?.value === "yes"); asked.abort(); }, { signal });
    signal.addEventListener("abort", () => resolve(false));
    dialog.addEventListener("cancel", () => asked.abort(), { signal });
  });
}
