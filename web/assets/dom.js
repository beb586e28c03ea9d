// Small helpers to make and find elements. Styles are set through the object model,
// because the page's policy allows no style in markup.

/** byId returns the element of the static page with this id. */
export const byId = (id) => document.getElementById(id);

/**
 * el makes an element. Properties that begin with "on" are listeners, "class", "data-…",
 * "aria-…" and "role" become attributes, everything else is set as a property.
 * Children may be strings, elements, or null for none.
 */
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class" || name === "role" || name === "for" || name.includes("-")) node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

const SVG = "http://www.w3.org/2000/svg";

/** icon makes one of the pictograms of icons.svg, hidden from screen readers. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `assets/icons.svg#${name}`);
  svg.append(use);
  return svg;
}

/** iconButton makes a button that shows a pictogram alone; label is its name. */
export function iconButton(name, label, onclick) {
  return el("button", { type: "button", class: "icon", "aria-label": label, title: label, onclick }, icon(name));
}

/** textButton makes a button with a pictogram and a word. */
export function textButton(name, text, onclick, kind = "plain") {
  return el("button", { type: "button", class: kind, onclick }, icon(name), text);
}

/** segments makes a group of radio buttons that look like one switch; a shown legend stands before them. */
export function segments(legend, name, options, value, onpick, shown = false) {
  const group = el("div", { class: "segments", role: "radiogroup", "aria-label": legend }, shown ? el("span", { class: "legend", "aria-hidden": "true" }, legend) : null);
  for (const [key, text] of options) {
    const input = el("input", { type: "radio", name, value: key, checked: key === value, onchange: () => onpick(key) });
    group.append(el("label", {}, input, el("span", {}, text)));
  }
  return group;
}

/** setError shows a sentence in an element made for errors, or hides it. */
export function setError(node, text) {
  node.hidden = !text;
  if (node.textContent !== (text ?? "")) node.textContent = text ?? "";
}
