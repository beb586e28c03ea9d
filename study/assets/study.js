// The page of one subject. It asks the server what comes next, shows a pair for as
// long as the study says, measures by the screen's frames, and sends each answer
// before the next pair is shown. It never learns which picture is the original.

const base = location.pathname.replace(/\/+$/, "");
const fixation = 600; // ms of the cross before the pictures
const $ = (id) => document.getElementById(id);
const sections = ["loading", "welcome", "ready", "begin", "stage", "paused", "done", "problem"];

let study; // the state as the server gave it
let paused = false;
let interrupt = null; // ends the running view of a pair
let current = null; // the pair on the stage
const loads = new Map(); // trial -> promise of its decoded pictures

function show(name) {
  for (const id of sections) $(id).hidden = id !== name;
  const target = name === "stage" ? $("stage") : $(name).querySelector("h1");
  target?.focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

const clicked = (id) => new Promise((resolve) => $(id).addEventListener("click", resolve, { once: true }));
const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const say = (text) => { $("status").textContent = text; };

function note(text) {
  $("note").textContent = text;
  $("note").hidden = !text;
}

// Failure is one that trying again at once does not mend.
class Failure extends Error {}

// ask speaks with the server until it has an answer.
async function ask(path, body) {
  for (let wait = 400; ; wait = Math.min(wait * 2, 8000)) {
    try {
      const options = body === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
      const reply = await fetch(base + path, { ...options, cache: "no-store", credentials: "omit" });
      if (reply.ok) {
        const value = await reply.json();
        note("");
        return value;
      }
      if (reply.status === 409) return await ask("/state"); // another window went ahead
      if (reply.status !== 429 && reply.status < 500) {
        const why = await reply.json().catch(() => ({}));
        throw new Failure(why.title || `The server answered ${reply.status}.`);
      }
    } catch (e) {
      if (e instanceof Failure) throw e;
    }
    note(body === undefined ? "There is no connection just now. Trying again." : "There is no connection just now. Your answer is kept and sent as soon as it is back.");
    await sleep(wait);
  }
}

async function picture(url) {
  for (let attempt = 0; ; attempt++) {
    const img = new Image();
    img.alt = "";
    img.draggable = false;
    img.decoding = "sync";
    img.src = url;
    try {
      await img.decode();
      return img;
    } catch {
      if (attempt >= 4) throw new Failure("A picture could not be loaded. Please look at your connection.");
      await sleep(300 * 2 ** attempt);
    }
  }
}

function load(view) {
  if (!loads.has(view.trial)) {
    const all = Promise.all([picture(view.left), picture(view.right), view.low ? picture(view.low) : null]);
    all.catch(() => loads.delete(view.trial)); // the next one who asks tries again
    loads.set(view.trial, all);
  }
  return loads.get(view.trial);
}

// preload fetches and decodes what comes next and forgets what was.
function preload() {
  for (const trial of loads.keys()) if (trial >= 0 && trial < study.next) loads.delete(trial);
  for (const view of study.trials) load(view).catch(() => {});
}

// Pictures are shown with a whole number of the screen's dots for each of their pixels
// where that fits, all alike.
function fit(view) {
  const scene = $("scene");
  scene.classList.toggle("three", Boolean(view.low));
  $("low-slot").hidden = !view.low;
  const style = getComputedStyle(scene);
  const columns = style.gridTemplateColumns.split(" ").length;
  const rows = view.low && columns === 2 ? 2 : 1;
  const gap = parseFloat(style.columnGap) || 0;
  const others = $("question").offsetHeight + document.querySelector(".answers").offsetHeight + document.querySelector(".foot").offsetHeight;
  const width = (document.documentElement.clientWidth - 32 - gap * (columns - 1)) / columns;
  const height = (window.innerHeight - others - 80 - gap * (rows - 1)) / rows - 28;
  const most = Math.min(width / view.width, Math.max(height, 60) / view.height, study.zoom);
  const dots = window.devicePixelRatio || 1;
  const scale = most * dots >= 1 ? Math.floor(most * dots + 1e-6) / dots : most;
  scene.style.setProperty("--w", `${view.width * scale}px`);
  scene.style.setProperty("--h", `${view.height * scale}px`);
}

function place(view, [left, right, low]) {
  left.alt = "Left picture";
  right.alt = "Right picture";
  $("left-frame").replaceChildren(left);
  $("right-frame").replaceChildren(right);
  $("low-frame").replaceChildren(...(low ? [low] : []));
  if (low) low.alt = "The same at low resolution";
  current = view;
  fit(view);
}

function accept(yes) {
  for (const id of ["left", "right"]) $(id).setAttribute("aria-disabled", String(!yes));
}

// views counts how often a pair was shown, over reloads of the page too.
function countView(trial) {
  const key = `sr3-study ${base} ${trial}`;
  let n = 1;
  try {
    n = Number(sessionStorage.getItem(key) || 0) + 1;
    sessionStorage.setItem(key, String(n));
  } catch { /* storage is forbidden: reloads are not counted */ }
  return n;
}

function keyChoice(e) {
  if (e.repeat || e.ctrlKey || e.altKey || e.metaKey) return "";
  if (e.key === "ArrowLeft" || e.key === "f" || e.key === "F") return "left";
  if (e.key === "ArrowRight" || e.key === "j" || e.key === "J") return "right";
  return "";
}

// view shows a pair once: the cross, the pictures, the wait for an answer. It
// resolves to null when it was interrupted.
function view(trial) {
  const scene = $("scene");
  return new Promise((resolve) => {
    let over = false, on = 0, shown = 0, last = 0, step = 17, phase = "cross", views = 0, began = 0, gone = 0;
    const end = (result) => {
      if (over) return;
      over = true;
      interrupt = null;
      document.removeEventListener("keydown", onKey);
      $("left").removeEventListener("click", onLeft);
      $("right").removeEventListener("click", onRight);
      scene.classList.remove("shown", "fixing");
      accept(false);
      resolve(result);
    };
    const answer = (choice, at) => {
      if (over || phase === "cross" || (phase === "shown" && study.display_ms > 0 && !study.early_answers)) return;
      if (phase === "gone" && at < gone) return; // given before they went, and heard late
      const response = Math.max(0, at - on);
      if (phase === "shown") {
        // The pictures go with the next frame.
        scene.classList.remove("shown");
        accept(false);
        phase = "cross";
        requestAnimationFrame((t) => end({ choice, response_ms: response, shown_ms: Math.max(0, t - on), views }));
        return;
      }
      end({ choice, response_ms: response, shown_ms: shown, views });
    };
    const onKey = (e) => {
      const choice = keyChoice(e);
      if (!choice) return;
      e.preventDefault();
      answer(choice, e.timeStamp);
    };
    const onLeft = (e) => answer("left", e.timeStamp);
    const onRight = (e) => answer("right", e.timeStamp);
    document.addEventListener("keydown", onKey);
    $("left").addEventListener("click", onLeft);
    $("right").addEventListener("click", onRight);
    interrupt = () => end(null);

    // Every change happens in a frame's callback and is seen with that frame, so the
    // time between two changes is that between their frames.
    const tick = (t) => {
      if (over) return;
      if (last) step = Math.min(step, Math.max(t - last, 1)); // a frame's length, without the ones left out
      last = t;
      if (!began) began = t;
      if (phase === "cross" && !on && t - began >= fixation) {
        scene.classList.remove("fixing");
        scene.classList.add("shown");
        on = t;
        phase = "shown";
        views = trial < 0 ? 1 : countView(trial);
        if (study.display_ms === 0 || study.early_answers) accept(true);
        if (study.display_ms === 0) gone = t;
      } else if (phase === "shown" && study.display_ms > 0 && t - on >= study.display_ms - step / 2) {
        scene.classList.remove("shown");
        shown = t - on;
        gone = t;
        phase = "gone";
        accept(true);
        say("The pictures are gone. Left or right?");
      } else if (gone && study.timeout_ms > 0 && t - gone >= study.timeout_ms) {
        end({ choice: "none", response_ms: t - on, shown_ms: shown || t - on, views });
        return;
      }
      requestAnimationFrame(tick);
    };
    scene.classList.add("fixing");
    requestAnimationFrame(tick);
  });
}

// run shows a pair until there is an answer, again after a pause.
async function run(trial) {
  const pictures = await load(trial);
  for (;;) {
    if (paused || document.hidden) await rest();
    show("stage");
    place(trial, pictures);
    const result = await view(trial.trial);
    if (result) return result;
  }
}

async function rest() {
  paused = true;
  show("paused");
  await clicked("resume");
  paused = false;
}

function pause() {
  if ($("stage").hidden) return;
  paused = true;
  interrupt?.();
}

async function attempt(work) {
  for (;;) {
    try {
      return await work();
    } catch (e) {
      $("problem-text").textContent = e instanceof Failure ? e.message : "Something unexpected happened. Your answers so far are stored.";
      note("");
      show("problem");
      await clicked("retry");
      show("loading");
    }
  }
}

function describe() {
  const seconds = study.display_ms / 1000;
  const length = study.total - study.next;
  $("welcome-question").textContent = study.question;
  $("question").textContent = study.question;
  const minutes = Math.max(1, Math.round(length * (seconds + 3.5) / 60));
  $("welcome-length").textContent = `There are ${length} pairs. It takes about ${minutes === 1 ? "a minute" : `${minutes} minutes`}.`;
  $("welcome-time").textContent = seconds === 0 ? "Each pair stays until you answer."
    : `Each pair is shown for ${seconds} ${seconds === 1 ? "second" : "seconds"}. ${study.early_answers ? "You can answer at once or after it has gone." : "You answer after it has gone."}`;
  $("welcome-consent").textContent = study.consent;
  $("welcome-contact").textContent = study.contact ? `Questions? ${study.contact}` : "";
  $("begin-text").textContent = `Now ${length === 1 ? "the pair" : `the ${length} pairs`} that count. Left or right, as you think. If you are not sure, guess.`;
}

function count(text, value) {
  $("count").textContent = text;
  $("bar").max = study.total;
  $("bar").value = value;
  say(text);
}

async function introduce() {
  show("welcome");
  preload();
  load(study.practice).catch(() => {});
  await clicked("agree");
  if (!study.agreed) Object.assign(study, await attempt(() => ask("/consent", { agree: true })), { agreed: true });
  preload();
  show("ready");
  await clicked("practise");
  count("Practice", 0);
  await attempt(() => run(study.practice));
  show("begin");
  await clicked("go");
}

async function main() {
  study = await attempt(() => ask("/state"));
  if (study.next >= study.total) return show("done");
  describe();
  if (study.next === 0) {
    await introduce();
  } else {
    preload();
    await rest();
  }
  while (study.next < study.total) {
    const trial = study.trials[0];
    count(`${trial.trial + 1} of ${study.total}`, trial.trial);
    const result = await attempt(() => run(trial));
    Object.assign(study, await attempt(() => ask("/answers", { trial: trial.trial, ...result })));
    preload();
  }
  for (const id of ["left-frame", "right-frame", "low-frame"]) $(id).replaceChildren();
  show("done");
}

document.addEventListener("keydown", (e) => { if (e.key === "Escape") pause(); });
$("pause").addEventListener("click", pause);
document.addEventListener("visibilitychange", () => { if (document.hidden) pause(); });
window.addEventListener("resize", () => { if (!$("stage").hidden && current) fit(current); });
main();
