// Several draws of one image: what they are called, and all of them side by side.

import { el, iconButton } from "./dom.js";
import { find } from "./words.js";

/**
 * drawsOf returns what can stand on the after side: { name, label } of each draw and of their mean. The
 * first draw is the result; where it is listed once more as a draw, it is left out.
 */
export function drawsOf(job) {
  const results = job.results ?? [];
  const image = find(job, "image");
  const others = results.filter((object) => object.name.startsWith("draw-") && object.sha256 !== image.sha256)
    .sort((a, b) => Number(a.name.slice(5)) - Number(b.name.slice(5)));
  const draws = [image, ...others].map((object, i) => ({ name: object.name, label: `Draw ${i + 1}`, seed: job.settings.seed + i }));
  if (find(job, "mean")) draws.push({ name: "mean", label: "Mean" });
  return draws;
}

/**
 * gallery shows the draws, their mean and where they differ side by side. onpick is told of the one to compare, onsave of
 * the name of the one to download.
 */
export function gallery(job, draws, pictures, onpick, onsave) {
  const node = el("div", { class: "gallery" });
  const figure = (name, label, note, onclick) => {
    const object = find(job, name);
    const image = el("img", { alt: `${label} of ${job.input.name}`, draggable: false });
    image.style.aspectRatio = `${object.width} / ${object.height}`;
    pictures.url(name).then((url) => { image.src = url; }, () => image.classList.add("unseen"));
    return el("figure", {}, onclick ? el("button", { type: "button", class: "open-draw", title: "Compare with the input", onclick }, image) : image,
      el("figcaption", { class: "caption" }, el("span", { class: "grow" }, el("strong", {}, label), el("span", { class: "detail" }, note)),
        iconButton("download", `Download ${label.toLowerCase()}`, () => onsave(name))));
  };
  for (const draw of draws) {
    node.append(figure(draw.name, draw.label, draw.seed ? `seed ${draw.seed}` : "of all draws", () => onpick(draw)));
  }
  if (find(job, "deviation")) node.append(figure("deviation", "Deviation", "light where the model invents"));
  return node;
}
