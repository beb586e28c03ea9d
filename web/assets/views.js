// On a narrow screen one part of the page is shown at a time; a bar at the bottom switches.

const buttons = [...document.querySelectorAll(".tabs button")];

/** showView brings a part to the front: new, picture or jobs. On wide screens all are seen anyway. */
export function showView(name) {
  document.body.dataset.view = name;
  for (const button of buttons) {
    if (button.dataset.to === name) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
}

/** setUpViews makes the bar work. */
export function setUpViews() {
  for (const button of buttons) button.addEventListener("click", () => showView(button.dataset.to));
}
