// What was used to make a result, to read and to copy.

import { el, icon } from "./dom.js";
import { announce } from "./announce.js";
import { bytes, duration, find, pixels } from "./words.js";

/** facts makes a folded list of a job's settings and measures. */
export function facts(job) {
  const { settings } = job;
  const image = find(job, "image");
  const seconds = (Date.parse(job.finished) - Date.parse(job.started)) / 1000;
  const rows = [
    ["Model", settings.model],
    ["Seed", settings.seed],
    ["Steps", settings.steps],
    ["Sampler", settings.sampler],
    ["Draws", settings.samples],
    ["Consistent", settings.consistent === undefined ? "as the model says" : settings.consistent ? "on" : "off"],
    ["Result", `${pixels(image.width, image.height)}, ${settings.format ?? "png"}, ${bytes(image.bytes)}`],
    ["Took", seconds >= 0 ? duration(seconds) : undefined],
    ["Job", job.id],
    ["SHA-256", image.sha256],
  ].filter(([, value]) => value !== undefined && value !== "");
  const copy = el("button", { type: "button", class: "quiet", id: "copy" }, icon("copy"), el("span", {}, "Copy"));
  copy.addEventListener("click", async () => {
    const done = await copyText(JSON.stringify({ job: job.id, input: job.input.name, ...settings, sha256: image.sha256 }, null, 2));
    copy.lastChild.textContent = done ? "Copied" : "Not copied";
    announce(done ? "Copied" : "The browser did not let the page copy");
  });
  const brief = [settings.model, settings.steps && `${settings.steps} steps`, `seed ${settings.seed}`].filter(Boolean).join(" · ");
  return el("details", { class: "facts" }, el("summary", {}, el("span", {}, "What was used"), el("span", { class: "detail" }, brief)),
    el("dl", {}, ...rows.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, String(value))])), copy);
}

/** copyText copies by the clipboard's interface, or where the page came without TLS by the older way. */
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = el("textarea", { value: text, class: "seen-by-readers" });
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}
