// Several draws of one image: what they are called, and all of them side by side.

import { el } from "./dom.js";
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

/** gallery shows the draws, their mean and where they differ side by side; onpick is told of the chosen one. */
export function gallery(job, draws, pictures, onpick) {
  const node = el("div", { class: "gallery" });
  const figure = (name, label, note) => {
    const image = el("img", { alt: `${label} of ${job.input.name}`, draggable: false });
    pictures.url(name).then((url) => { image.src = url; }, () => image.classList.add("unseen"));
    return [image, el("span", { class: "caption" }, el("strong", {}, label), note ? el("span", { class: "detail" }, note) : null)];
  };
  for (const draw of draws) {
    node.append(el("button", { type: "button", onclick: () => onpick(draw), title: "Compare with the input" },
      ...figure(draw.name, draw.label, draw.seed ? `seed ${draw.seed}` : "of all draws")));
  }
  if (find(job, "deviation")) node.append(el("div", {}, ...figure("deviation", "Deviation", "dark where the image decides")));
  return node;
}
