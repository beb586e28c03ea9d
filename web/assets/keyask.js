// Asks for the API key and keeps it in this tab.

import * as api from "./api.js";
import { byId, setError } from "./dom.js";

let asking = null;

/** isAsking tells whether a key is being asked for. */
export const isAsking = () => asking !== null;

/** askKey shows the dialog until the server takes the key that was entered. */
export function askKey(reason = "") {
  if (asking && !byId("key-dialog").open) byId("key-dialog").showModal(); // it was put aside
  asking ??= ask(reason).finally(() => { asking = null; });
  return asking;
}

function ask(reason) {
  const dialog = byId("key-dialog");
  const form = byId("key-form");
  setError(byId("key-error"), reason);
  byId("key").value = "";
  dialog.showModal();
  return new Promise((resolve) => {
    const check = async (event) => {
      event.preventDefault();
      const before = api.key.get();
      api.key.set(byId("key").value.trim());
      try {
        await api.list(1);
      } catch (error) {
        api.key.set(before);
        setError(byId("key-error"), error.message);
        byId("key").select();
        return;
      }
      form.removeEventListener("submit", check);
      dialog.close();
      resolve();
    };
    form.addEventListener("submit", check);
  });
}
