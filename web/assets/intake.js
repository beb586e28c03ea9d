// Images on their way in: dropped, pasted or chosen, one by one or by folders. Each waits in
// a list with its thumbnail and says what would keep the server from taking it.

import { byId, el, iconButton } from "./dom.js";
import { announce } from "./announce.js";
import { blank, thumbnail } from "./thumbnail.js";
import { bytes, count, megapixels, outputSize, pixels } from "./words.js";

const NAMES = /\.(png|jpe?g|webp|tiff?|bmp|gif)$/i;
const isImage = (file) => file.type.startsWith("image/") || NAMES.test(file.name);

/** Intake is the list of images that wait to be sent. It tells of "change". */
export class Intake extends EventTarget {
  items = []; // { file, width, height, problem, fatal, row parts }
  #limits = null;
  #settings;
  #list = byId("pending");

  constructor(settings) {
    super();
    this.#settings = settings;
    settings.addEventListener("change", () => this.items.forEach((item) => this.#check(item)));
    for (const id of ["files", "folder"]) {
      byId(id).addEventListener("change", (event) => {
        this.add([...event.target.files]);
        event.target.value = "";
      });
    }
    document.addEventListener("paste", (event) => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (files.length > 0) { event.preventDefault(); this.add(files); }
    });
    this.#listenToDrops();
  }

  #listenToDrops() {
    const mark = (on) => byId("drop").classList.toggle("over", on);
    document.addEventListener("dragover", (event) => { event.preventDefault(); mark(true); });
    document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) mark(false); });
    document.addEventListener("drop", async (event) => {
      event.preventDefault();
      mark(false);
      this.add(await dropped(event.dataTransfer));
    });
  }

  /** limit tells what the server takes. */
  limit(limits) {
    this.#limits = limits;
    byId("limit-note").textContent = `PNG, JPEG, WebP, TIFF to ${bytes(limits.max_bytes)}, ${megapixels(limits.max_input_pixels)}`;
    this.items.forEach((item) => this.#check(item));
  }

  /** add takes in the images among files and says how many others there were. */
  async add(files) {
    const images = files.filter(isImage);
    const fresh = images.map((file) => this.#row(file));
    this.items.push(...fresh);
    const others = files.length - images.length;
    const leftOut = others ? `${count(others, "other file")} left out` : "";
    byId("left-out").hidden = !others;
    byId("left-out").textContent = `Left out, not ${others === 1 ? `an image: ${files.find((file) => !isImage(file)).name}` : `images: ${count(others, "file")}`}`;
    announce([`${count(images.length, "image")} added`, leftOut].filter(Boolean).join(", "));
    this.#tell();
    for (const item of fresh) await this.#look(item); // one at a time: a large image takes much memory
  }

  #row(file) {
    const item = { file, width: 0, height: 0, problem: "", fatal: false };
    item.canvas = el("canvas", { class: "thumb", width: 96, height: 96, "aria-hidden": "true" });
    item.detail = el("span", { class: "detail" }, bytes(file.size));
    item.error = el("span", { class: "error", hidden: true });
    item.row = el("li", {}, item.canvas,
      el("span", { class: "grow" }, el("span", { class: "name", title: file.name }, file.name), item.detail, item.error),
      iconButton("close", `Leave out ${file.name}`, () => this.drop(item)));
    this.#list.append(item.row);
    return item;
  }

  async #look(item) {
    if (!this.#limits || item.file.size <= this.#limits.max_bytes) {
      try {
        Object.assign(item, await thumbnail(item.file, item.canvas));
      } catch {
        blank(item.canvas); // TIFF, say: the server may read what this browser cannot
      }
    }
    this.#check(item);
  }

  #check(item) {
    const limits = this.#limits;
    if (!limits) return;
    const area = item.width * item.height;
    item.detail.textContent = [area ? pixels(item.width, item.height) : "", bytes(item.file.size)].filter(Boolean).join(", ");
    let problem = "";
    if (item.file.size > limits.max_bytes) problem = `Too large: the server takes up to ${bytes(limits.max_bytes)}.`;
    else if (area > limits.max_input_pixels) problem = `Too many pixels: the server takes up to ${megapixels(limits.max_input_pixels)}.`;
    else if (area) {
      const out = outputSize(item.width, item.height, this.#settings.values());
      if (out.width * out.height > limits.max_output_pixels) problem = `The result, ${pixels(out.width, out.height)}, is more than ${megapixels(limits.max_output_pixels)}.`;
      else if (out.width) item.detail.textContent = `${pixels(item.width, item.height)} to ${pixels(out.width, out.height)}`;
    }
    item.fatal = problem !== "";
    this.complain(item, problem);
    this.#tell();
  }

  /** complain shows at an image why it was not taken; "" takes that back. */
  complain(item, text) {
    item.problem = text;
    item.error.hidden = text === "";
    item.error.textContent = text;
    item.row.classList.toggle("bad", text !== "");
  }

  /** note shows what is being done with an image. */
  note(item, text) { item.detail.textContent = text; }

  /** drop takes an image off the list. */
  drop(item) {
    const next = item.row.nextElementSibling ?? item.row.previousElementSibling;
    const focused = item.row.contains(document.activeElement);
    item.row.remove();
    this.items = this.items.filter((other) => other !== item);
    if (focused) (next?.querySelector("button") ?? byId("files")).focus();
    this.#tell();
  }

  #tell() { this.dispatchEvent(new Event("change")); }
}

/** dropped returns the files of a drop, those below its folders among them. */
async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (entries.length === 0) return [...transfer.files];
  return (await Promise.all(entries.map(filesBelow))).flat();
}

async function filesBelow(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const reader = entry.createReader();
  const found = [];
  for (;;) { // a reader gives some entries at a time, and none at the end
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return found;
    for (const inner of some) found.push(...await filesBelow(inner));
  }
}
