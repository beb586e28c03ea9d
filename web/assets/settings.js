// The form of settings: what the models offer, what the server allows, what was chosen last.

import { byId, icon } from "./dom.js";

const REMEMBERED = "sr3.settings";
const LARGEST_SEED = 999999999; // drawn ones stay short enough to read out; the server takes up to 2^53-1

const field = (name) => byId(name);

/** Settings reads and fills the form. It tells of "change". */
export class Settings extends EventTarget {
  #models = [];
  #locked = false;
  #form = byId("settings");

  constructor() {
    super();
    this.#form.addEventListener("input", (event) => this.#edited(event.target));
    byId("roll").addEventListener("click", () => { this.roll(); this.#edited(null); });
    byId("hold").addEventListener("click", () => this.#hold(!this.#locked));
    this.roll();
  }

  /** offer fills in the models and the limits of the server, then what was chosen last. */
  offer(models, limits) {
    this.#models = models;
    field("model").replaceChildren(...models.map((model) => {
      const option = new Option(model.error ? `${model.name} (cannot be used)` : model.name, model.name);
      option.disabled = Boolean(model.error);
      return option;
    }));
    field("steps").max = limits.max_steps;
    field("samples").max = limits.max_samples;
    field("model").value = (models.find((model) => model.default) ?? models[0])?.name ?? "";
    this.#fillDefaults();
    this.#recall();
    this.#edited(null);
  }

  get #model() { return this.#models.find((model) => model.name === field("model").value); }

  #fillDefaults() {
    const model = this.#model;
    field("scale").value = model?.scale ?? 4;
    field("steps").value = model?.steps ?? "";
    field("samples").value = 1;
    field("quality").value ||= 92;
  }

  /** roll draws another seed. */
  roll() {
    field("seed").value = 1 + (crypto.getRandomValues(new Uint32Array(1))[0] % LARGEST_SEED);
  }

  /** submitted tells that the settings were used: a seed that is not kept is drawn again. */
  submitted() {
    if (!this.#locked) this.roll();
  }

  #hold(locked) {
    this.#locked = locked;
    byId("hold").setAttribute("aria-pressed", String(locked));
    byId("hold").replaceChildren(icon(locked ? "lock" : "unlock"));
    this.#remember();
  }

  #edited(target) {
    if (target === field("model")) this.#fillDefaults();
    if (target === field("seed")) this.#hold(true);
    this.#show();
    this.#remember();
    this.dispatchEvent(new Event("change"));
  }

  /** #show hides what does not apply to the present choices. */
  #show() {
    const model = this.#model;
    const wide = field("size").value === "width";
    for (const [name, shown] of [["scale", !wide], ["width", wide]]) {
      field(name).hidden = !shown;
      field(name).required = shown;
      field(name).nextElementSibling.hidden = !shown;
    }
    const single = model?.objective === "regression"; // has one result, made in one step
    for (const name of ["steps", "samples", "seed", "roll", "hold"]) field(name).disabled = single;
    byId("consistent-note").textContent = `${model?.consistent ? "On by default: reduced" : "On: reduced"}, it is the input again.`;
    byId("quality-unit").hidden = field("format").value !== "jpg";
    byId("model-note").textContent = model ? [model.trained_for && `For ${model.trained_for}`, single && "one result, no steps"].filter(Boolean).join("; ") : "";
  }

  /** valid checks the form as the browser does and shows what is wrong. */
  valid() { return this.#form.reportValidity(); }

  /** values returns the settings of a job. What is left to the model is left out. */
  values() {
    const number = (name) => (field(name).disabled || field(name).value === "" ? undefined : field(name).valueAsNumber);
    const consistent = this.#form.elements.consistent.value;
    const samples = number("samples");
    return {
      model: field("model").value || undefined,
      [field("size").value]: number(field("size").value),
      steps: number("steps"),
      seed: number("seed"),
      samples: samples > 1 ? samples : undefined,
      consistent: consistent === "" ? undefined : consistent === "on",
      format: field("format").value,
      quality: field("format").value === "jpg" ? number("quality") : undefined,
    };
  }

  /** use fills in the settings of a job, and keeps its seed. */
  use(settings) {
    if (this.#models.some((model) => model.name === settings.model)) field("model").value = settings.model;
    this.#fillDefaults();
    field("size").value = settings.width ? "width" : "scale";
    for (const name of ["scale", "width", "steps", "seed", "samples", "format", "quality"]) {
      if (settings[name]) field(name).value = settings[name];
    }
    this.#form.elements.consistent.value = settings.consistent === undefined ? "" : settings.consistent ? "on" : "off";
    this.#hold(true);
    this.#edited(null);
  }

  #remember() {
    const values = { ...this.values(), locked: this.#locked };
    if (!this.#locked) delete values.seed;
    if (values.steps === this.#model?.steps) delete values.steps; // follows the model
    localStorage.setItem(REMEMBERED, JSON.stringify(values));
  }

  #recall() {
    let values = null;
    try {
      values = JSON.parse(localStorage.getItem(REMEMBERED));
    } catch {
      // written by something else: the defaults will do
    }
    if (!values || typeof values !== "object") return;
    this.use(values);
    this.#hold(Boolean(values.locked));
  }
}
