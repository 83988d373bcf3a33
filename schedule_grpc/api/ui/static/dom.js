// @ts-check
// Elements without markup: whatever text is put in stays text.

/** Make an element. `on...` attributes are listeners, true is an attribute without a value, null leaves it out.
 * @param {string} tag @param {Record<string, any>} [attributes] @param {...(Node | string | null)} children @returns {HTMLElement} */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, String(value));
  }
  made.append(...children.filter((child) => child !== null).map((child) => /** @type {Node | string} */ (child)));
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

/** @param {string} tag @param {Record<string, string | number>} attributes @returns {SVGElement} */
export function svg(tag, attributes = {}) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  return made;
}

/** Say the result of what the reader did. @param {string} text @param {"ok" | "bad" | ""} [tone] */
export function toast(text, tone = "") {
  const made = el("div", { class: `toast ${tone}` }, text);
  document.getElementById("toasts")?.append(made);
  setTimeout(() => made.remove(), tone === "bad" ? 12000 : 5000);
}

/** Load a script once it is wanted. @template T @param {() => Promise<T>} script @returns {Promise<T | void>} nothing if
 *   it is not there: the server is away, or has been replaced by one with other scripts */
export const loaded = (script) => script().catch(() => toast("This needs a script that cannot be loaded now. Reload the page.", "bad"));

/** Copy a text; without the clipboard's API, as over plain HTTP, by a selection. @param {string} text */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = /** @type {HTMLTextAreaElement} */ (el("textarea", { class: "sr", "aria-hidden": "true" }));
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  toast("Copied", "ok");
}

/** @param {string} key @param {string} otherwise */
export function stored(key, otherwise) {
  try {
    return localStorage.getItem(`schedule.${key}`) ?? otherwise;
  } catch {
    return otherwise;
  }
}

/** @param {string} key @param {string} value */
export function store(key, value) {
  try {
    if (value) localStorage.setItem(`schedule.${key}`, value);
    else localStorage.removeItem(`schedule.${key}`);
  } catch { /* it holds for this page */ }
}
