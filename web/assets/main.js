// Puts the page together: what each part tells the others.

import * as api from "./api.js";
import { announce } from "./announce.js";
import { confirmed } from "./confirm.js";
import { byId, setError } from "./dom.js";
import { Intake } from "./intake.js";
import { askKey, isAsking } from "./keyask.js";
import { Queue } from "./queue.js";
import { Settings } from "./settings.js";
import { Stage } from "./stage.js";
import { Store } from "./store.js";
import { Submitter } from "./submit.js";
import { setUpViews, showView } from "./views.js";
import { duration, find, finished } from "./words.js";

const SELECTED = "sr3.selected";

const store = new Store();
const settings = new Settings();
const intake = new Intake(settings);
const submitter = new Submitter(intake, settings);

/** attempt does what a button asks for and says in words what went wrong. */
const attempt = (work) => async (job, ...rest) => {
  setError(byId("jobs-error"), "");
  try {
    await work(job, ...rest);
  } catch (error) {
    if (error.status === 404 || error.status === 410) store.drop(job.id);
    setError(byId("jobs-error"), error.message);
  }
};

const actions = {
  open: (job) => { select(job.id); showView("picture"); },
  cancel: attempt(async (job) => store.put(await api.cancel(job.id))),
  again: attempt((job) => submitter.again(job)),
  reuse: (job) => {
    settings.use(job.settings);
    showView("new");
    byId("model").focus();
    announce("Settings filled in");
  },
  download: attempt((job, name = "image") => api.download(job, find(job, name))),
  remove: attempt(async (job) => {
    const what = job.state === "completed" ? "and its result are removed" : "is removed";
    if (!await confirmed(`${job.input.name} ${what} from the server at once.`)) return;
    await api.remove(job.id);
    store.drop(job.id);
    if (sessionStorage.getItem(SELECTED) === job.id) select("");
  }),
};

const queue = new Queue(store, actions);
const stage = new Stage(store, actions);

function select(id) {
  sessionStorage.setItem(SELECTED, id);
  queue.select(id);
  stage.show(id);
}

submitter.addEventListener("job", ({ detail: job }) => {
  const shown = store.jobs.get(sessionStorage.getItem(SELECTED));
  store.put(job);
  if (shown && !finished(shown)) return; // what runs is looked at on
  select(job.id);
  showView("picture");
});

store.addEventListener("trouble", ({ detail }) => setError(byId("jobs-error"), detail));

function setUpConnection() {
  const note = byId("connection");
  api.connection.addEventListener("down", () => {
    note.hidden = false;
    note.textContent = "No connection to the server. Trying again.";
  });
  api.connection.addEventListener("up", () => {
    note.hidden = true;
    note.textContent = "";
  });
  api.connection.addEventListener("key", async () => {
    if (isAsking()) return;
    await askKey(api.key.get() ? "The server does not take this key any more." : "");
    await begin();
  });
  window.addEventListener("online", () => store.refresh());
  document.addEventListener("visibilitychange", () => { if (!document.hidden) store.refresh(); });
}

function setUpDialogs() {
  byId("about-button").addEventListener("click", () => byId("about-dialog").showModal());
  byId("key-button").addEventListener("click", async () => {
    await askKey();
    await begin();
  });
}

/** begin asks the server what it can do and what it has, until it answers. */
async function begin() {
  try {
    const limits = await api.limits();
    byId("key-button").hidden = !limits.auth;
    byId("keep-note").textContent = [
      limits.auth ? "Each can be read only with the key that sent it." : "Everybody who can open this page can read them.",
      limits.keep_seconds ? `They are removed ${duration(limits.keep_seconds)} after the job has ended.` : "",
    ].join(" ");
    intake.limit(limits);
    if (limits.auth && !api.key.get()) await askKey();
    settings.offer(await api.models(), limits);
    await store.refresh();
    if (store.jobs.has(sessionStorage.getItem(SELECTED))) select(sessionStorage.getItem(SELECTED));
  } catch (error) {
    if (error.status === 401) return; // the dialog is open, and begins again
    setError(byId("submit-error"), error instanceof api.Offline ? "" : error.message);
    setTimeout(begin, (error.retryAfter || 2) * 1000);
  }
}

setUpViews();
setUpConnection();
setUpDialogs();
begin();
