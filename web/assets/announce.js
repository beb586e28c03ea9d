// One polite live region for the whole page. It speaks at most every other second and
// says only the last thing it was told, so that a fast refinement does not chatter.

import { byId } from "./dom.js";

const PAUSE = 2000;
let last = 0;
let timer = 0;

/** announce has screen readers say a sentence when they have a moment. */
export function announce(text) {
  clearTimeout(timer);
  const say = () => {
    last = Date.now();
    byId("announcer").textContent = text;
  };
  const wait = last + PAUSE - Date.now();
  if (wait <= 0) say();
  else timer = setTimeout(say, wait);
}
