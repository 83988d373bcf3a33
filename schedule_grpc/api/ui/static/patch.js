// @ts-check
// Put a fresh part of the page in the place of the one that is shown, changing only what differs.
// An element with `data-v` is replaced if that differs; the children of one with `data-parts` are compared by their ids.

import { draw } from "./times.js";

/** What the reader is using now stays as it is. @param {Element} element */
function isInUse(element) {
  const active = document.activeElement;
  if (active?.matches("input:not([type=checkbox]), select, textarea, run-strip") && element.contains(active)) return true;
  if (element.querySelector("dialog[open], .menu")) return true;
  const selection = getSelection();
  return Boolean(selection && !selection.isCollapsed && selection.anchorNode && element.contains(selection.anchorNode));
}

/** Give the marks of the shown element to the fresh one: what is ticked, what is unfolded. @param {Element} shown @param {Element} fresh */
function keepMarks(shown, fresh) {
  for (const box of shown.querySelectorAll("input[data-pick]")) {
    const same = /** @type {HTMLInputElement | null} */ (fresh.querySelector(`input[data-pick="${CSS.escape(box.getAttribute("data-pick") ?? "")}"]`));
    if (same) same.checked = /** @type {HTMLInputElement} */ (box).checked;
  }
  for (const open of shown.querySelectorAll("details[id]")) {
    const same = /** @type {HTMLDetailsElement | null} */ (fresh.querySelector(`#${CSS.escape(open.id)}`));
    if (same) same.open = /** @type {HTMLDetailsElement} */ (open).open;
  }
}

/** The element of the fresh part that stands for the one that has the focus. @param {Element} shown @param {Element} fresh */
function focusedIn(shown, fresh) {
  const active = document.activeElement;
  if (!active || active === document.body || !shown.contains(active)) return null;
  for (const name of ["id", "data-act", "data-pick", "href"]) {
    const value = active.getAttribute(name);
    if (value) return /** @type {HTMLElement | null} */ (fresh.querySelector(`[${name}="${CSS.escape(value)}"]`));
  }
  return null;
}

/** @param {Element} shown @param {Element} fresh @returns {boolean} whether all is as it should be; else try again later */
export function patch(shown, fresh) {
  let done = true;
  /** @type {Map<string, Element>} */
  const present = new Map();
  for (const child of shown.children) present.set(child.id, child);
  /** @type {Element | null} */
  let place = shown.firstElementChild;
  for (const next of [...fresh.children]) {
    const same = next.id ? present.get(next.id) : undefined;
    present.delete(next.id);
    if (!same) {
      shown.insertBefore(next, place);
      next.classList.add("changed");
      draw(next);
      continue;
    }
    if (same === place) place = place.nextElementSibling;
    else if (!isInUse(same)) shown.insertBefore(same, place);
    if (next.hasAttribute("data-parts") && same.hasAttribute("data-parts")) done = patch(same, next) && done;
    else if (!next.hasAttribute("data-v") || next.getAttribute("data-v") !== same.getAttribute("data-v")) {
      if (isInUse(same)) {
        done = false;
        continue;
      }
      keepMarks(same, next);
      if (same.localName === "tr") next.classList.add("changed");
      if (same.classList.contains("here")) next.classList.add("here");
      draw(next);
      const focused = focusedIn(same, next);
      same.replaceWith(next);
      focused?.focus({ preventScroll: true });
    }
  }
  for (const gone of present.values()) {
    if (isInUse(gone)) done = false;
    else gone.remove();
  }
  return done;
}
