// Server-sent events read from fetch, because EventSource cannot send a key. A stream
// that breaks off is opened again until the job has ended.

import * as api from "./api.js";

/** parser takes pieces of text as they arrive and calls onevent(name, data) for every event. */
export function parser(onevent) {
  let rest = "";
  let name = "";
  let data = [];
  const line = (text) => {
    if (text === "") {
      if (data.length > 0) onevent(name || "message", data.join("\n"));
      name = "";
      data = [];
      return;
    }
    const colon = text.indexOf(":");
    if (colon === 0) return; // a comment that keeps the connection open
    const field = colon < 0 ? text : text.slice(0, colon);
    const value = colon < 0 ? "" : text.slice(colon + 1).replace(/^ /, "");
    if (field === "event") name = value;
    else if (field === "data") data.push(value);
  };
  return (piece) => {
    rest += piece;
    const held = rest.endsWith("\r") ? "\r" : ""; // its line feed may come with the next piece
    const lines = rest.slice(0, rest.length - held.length).split(/\r\n|\n|\r/);
    rest = lines.pop() + held;
    lines.forEach(line);
  };
}

const pause = (ms, signal) => new Promise((resolve) => {
  const timer = setTimeout(resolve, ms);
  signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
});

/**
 * watch calls onevent(name, job) for what happens to a job until it has ended or signal is
 * aborted. It throws the Problem with which the server refuses, such as 404.
 */
export async function watch(id, onevent, signal) {
  let wait = 500;
  while (!signal.aborted) {
    try {
      let ended = false;
      await read(await api.events(id, signal), (name, data) => {
        wait = 500;
        ended ||= name === "end";
        onevent(name, JSON.parse(data));
      });
      if (ended) return;
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof api.Problem && !error.busy && error.status < 500) throw error;
    }
    await pause(wait, signal);
    wait = Math.min(wait * 2, 10000);
  }
}

async function read(response, onevent) {
  const feed = parser(onevent);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    feed(value);
  }
}
