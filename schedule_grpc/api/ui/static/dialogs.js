// @ts-check
// Dialogs: native ones, which keep the focus and close by Escape.

import { el } from "./dom.js";

const MANY = 20; // above this, the number is typed to confirm

/** What is typed to confirm an act on as many; nothing for a few. @param {number} count */
export const typedFor = (count) => count > MANY ? String(count) : "";

/** The first of many names, and how many more there are. @param {string[]} names */
export const some = (names) => names.slice(0, 8).join(", ") + (names.length > 8 ? ` and ${names.length - 8} more` : "");

/** Show a dialog; it is gone once it closes. @param {HTMLElement} content @param {string} [kind] @returns {HTMLDialogElement} */
export function show(content, kind = "") {
  const dialog = /** @type {HTMLDialogElement} */ (el("dialog", { class: `dialog ${kind}` }, content));
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => event.target === dialog && kind !== "busy" && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** A labelled input. @param {string} label @param {HTMLElement} input @param {string} [hint] @returns {HTMLElement} */
export function field(label, input, hint = "") {
  return el("label", { class: "field" }, el("span", {}, label), input, hint ? el("small", {}, hint) : null);
}

/** Ask for a confirmation, and for what the body's inputs hold.
 * @param {{title: string, body?: (Node | string | null)[], confirm: string, danger?: boolean, typed?: string,
 *   act: (values: FormData) => Promise<string | void>}} asked `act` returns why it failed; else the dialog closes
 * @returns {Promise<boolean>} whether it was done */
export function ask({ title, body = [], confirm, danger = false, typed = "", act }) {
  return new Promise((resolve) => {
    let done = false;
    const error = el("p", { class: "error", role: "alert", hidden: true });
    const go = /** @type {HTMLButtonElement} */ (el("button", { class: `btn ${danger ? "danger" : "primary"}`, type: "submit", disabled: Boolean(typed) }, confirm));
    const guard = typed ? el("input", { name: "typed", autocomplete: "off", spellcheck: "false", oninput: (/** @type {any} */ event) => { go.disabled = event.target.value !== typed; } }) : null;
    const form = el("form", { onsubmit: async (/** @type {Event} */ event) => {
      event.preventDefault();
      if (go.disabled) return;
      go.disabled = true;
      const told = await act(new FormData(/** @type {HTMLFormElement} */ (form)));
      if (!told) {
        done = true;
        dialog.close();
        return;
      }
      error.textContent = told;
      error.hidden = false;
      go.disabled = false;
    } },
      el("h2", { id: "dialog-title" }, title), ...body, guard ? field(`Type ${typed} to confirm`, guard) : null, error,
      el("div", { class: "buttons" }, el("button", { class: "btn", type: "button", onclick: () => dialog.close() }, "Back"), go));
    const dialog = show(form);
    dialog.setAttribute("aria-labelledby", "dialog-title");
    dialog.addEventListener("close", () => resolve(done));
  });
}

/** Do something for each of many names, a few at once, and list what was refused.
 * @param {string} title @param {string[]} names @param {(name: string) => Promise<string>} act returns why it failed, or nothing */
export async function each(title, names, act) {
  let stopped = false;
  let done = 0;
  /** @type {[string, string][]} */
  const refused = [];
  const bar = /** @type {HTMLProgressElement} */ (el("progress", { max: names.length, value: 0, "aria-label": title }));
  const word = el("p", { role: "status" }, `0 of ${names.length}`);
  const results = el("ul", { class: "results" });
  const stop = el("button", { class: "btn", type: "button", onclick: () => { stopped = true; } }, "Stop");
  const dialog = show(el("div", {}, el("h2", {}, title), bar, word, results, el("div", { class: "buttons" }, stop)), "busy");
  dialog.addEventListener("close", () => { stopped = true; });
  const left = [...names];
  const work = async () => {
    for (let name = left.shift(); name !== undefined && !stopped; name = left.shift()) {
      const why = await act(name);
      if (why) {
        refused.push([name, why]);
        if (refused.length <= 100) results.append(el("li", {}, el("b", {}, name), `: ${why}`));
      } else done += 1;
      bar.value = done + refused.length;
      word.textContent = `${done + refused.length} of ${names.length}`;
    }
  };
  await Promise.all(Array.from({ length: 4 }, work));
  const rest = names.length - done - refused.length;
  word.textContent = `${done} done` + (refused.length ? `, ${refused.length} refused` : "") + (rest ? `, ${rest} not begun` : "");
  stop.replaceWith(el("button", { class: "btn primary", type: "button", onclick: () => dialog.close() }, "Close"));
}
