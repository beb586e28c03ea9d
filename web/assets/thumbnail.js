// Small square pictures for lists.

import { el, icon } from "./dom.js";

/** blank puts a pictogram in the place of a thumbnail that this browser cannot make. */
export function blank(canvas) {
  canvas.replaceWith(el("span", { class: "thumb", "aria-hidden": "true" }, icon("image")));
}

/** thumbnail draws the middle of an image on a canvas and returns the image's size. */
export async function thumbnail(blob, canvas) {
  const image = await createImageBitmap(blob);
  try {
    const side = Math.min(image.width, image.height);
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(image, (image.width - side) / 2, (image.height - side) / 2, side, side, 0, 0, canvas.width, canvas.height);
    return { width: image.width, height: image.height };
  } finally {
    image.close();
  }
}

const AT_ONCE = 2;
const waiting = [];
let busy = 0;

/** later runs the work of a thumbnail when few others are under way. */
export function later(work) {
  waiting.push(work);
  next();
}

function next() {
  if (busy >= AT_ONCE || waiting.length === 0) return;
  busy++;
  waiting.shift()().finally(() => { busy--; next(); });
}
