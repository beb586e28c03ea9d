// Asks before something is lost.

import { byId } from "./dom.js";

/** confirmed shows a sentence and tells whether the reader agreed. */
export function confirmed(text) {
  const dialog = byId("confirm-dialog");
  byId("confirm-text").textContent = text;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}
