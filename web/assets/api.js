// The server's HTTP interface. Addresses are relative to the page, so that it works below
// any path. The key goes into a header and never into an address.

const STORED_KEY = "sr3.key";

/** Problem is an error that the server put into words (application/problem+json). */
export class Problem extends Error {
  constructor(status, body, retryAfter) {
    super(body.detail || body.title || `The server answered with status ${status}.`);
    this.status = status;
    this.code = body.code ?? "";
    this.retryAfter = retryAfter; // seconds, or 0
  }
  /** busy tells whether the same request may succeed later. */
  get busy() { return this.status === 429 || this.status === 503; }
}

/** Offline is the error of a request that got no answer. */
export class Offline extends Error {
  constructor() { super("The server does not answer."); }
}

/**
 * connection tells what requests learn in passing: "up" and "down" when the server answers again
 * or no longer, "key" when it wants another key.
 */
export const connection = new EventTarget();
let up = true;

function setUp(now) {
  if (now === up) return;
  up = now;
  connection.dispatchEvent(new Event(now ? "up" : "down"));
}

/** untilUp waits for the connection to come back; at once if it is not broken. */
export function untilUp() {
  return up ? Promise.resolve() : new Promise((resolve) => connection.addEventListener("up", resolve, { once: true }));
}

/** key is the API key of this tab, or "". */
export const key = {
  get: () => sessionStorage.getItem(STORED_KEY) ?? "",
  set: (value) => sessionStorage.setItem(STORED_KEY, value),
  clear: () => sessionStorage.removeItem(STORED_KEY),
};

/** call makes a request and returns the response, or throws Problem, Offline or AbortError. */
export async function call(path, { method = "GET", body, headers = {}, signal } = {}) {
  const used = key.get();
  if (used) headers = { ...headers, Authorization: `Bearer ${used}` };
  let response;
  try {
    response = await fetch(new URL(path, document.baseURI), { method, body, headers, signal, cache: "no-cache" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    setUp(false);
    throw new Offline();
  }
  setUp(true);
  if (response.ok) return response;
  const problem = await readProblem(response);
  if (problem.status === 401 && used === key.get()) connection.dispatchEvent(new Event("key"));
  throw problem;
}

async function readProblem(response) {
  let body = {};
  try {
    body = await response.json();
  } catch {
    // a proxy's page of HTML: the status has to do
  }
  return new Problem(response.status, body, retrySeconds(response.headers.get("Retry-After")));
}

function retrySeconds(header) {
  if (!header) return 0;
  const seconds = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(1, Math.ceil(seconds)) : 0;
}

const json = async (path, options) => (await call(path, options)).json();
const job = (id) => `v1/jobs/${encodeURIComponent(id)}`;

export const limits = () => json("v1/limits");
export const models = async () => (await json("v1/models")).models;
export const list = (count, before) => json(`v1/jobs?limit=${count}${before ? `&before=${encodeURIComponent(before)}` : ""}`);
export const get = (id) => json(job(id));
export const cancel = (id) => json(`${job(id)}/cancel`, { method: "POST" });
export const remove = (id) => call(job(id), { method: "DELETE" });
export const input = async (id, signal) => (await call(`${job(id)}/input`, { signal })).blob();
export const result = async (id, name, signal) => (await call(`${job(id)}/result?name=${encodeURIComponent(name)}`, { signal })).blob();
export const events = (id, signal) => call(`${job(id)}/events`, { signal, headers: { Accept: "text/event-stream" } });

/** submit sends an image with its settings. The same once gives the same job, however often it is sent. */
export function submit(file, name, settings, once) {
  const body = new FormData();
  body.append("settings", JSON.stringify(settings));
  body.append("image", file, name);
  return json("v1/jobs", { method: "POST", body, headers: { "Idempotency-Key": once } });
}

/** onceKey draws an idempotency key. crypto.randomUUID exists only where the page came by TLS or from this machine. */
export function onceKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** download has the browser save a result under a name. */
export async function download(of, object) {
  const url = URL.createObjectURL(await result(of.id, object.name));
  const link = document.createElement("a");
  link.href = url;
  link.download = fileName(of, object);
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60000); // the browser reads it after the click
}

const EXTENSIONS = { "image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/tiff": "tiff" };

function fileName(of, object) {
  const stem = of.input.name.replace(/\.[^.]*$/, "") || "image";
  const part = object.name === "image" ? "" : `.${object.name}`;
  return `${stem}_sr3${part}.${EXTENSIONS[object.type] ?? "png"}`;
}
