// @ts-check
// The form of a payload, in place of its text: fields that the server found in the handler's schema.

import { field } from "./dialogs.js";
import { el } from "./dom.js";
import { read, written } from "./json-text.js";

/** @typedef {{key: string, label: string, hint: string, required: boolean, input: Record<string, string>, choices: (string | boolean)[]}} Field */
/** @typedef {HTMLInputElement | HTMLSelectElement} Input */

const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

/** @param {Field} asked @returns {Input} */
function inputOf({ required, input, choices }) {
  const options = choices.map((choice) => el("option", { value: JSON.stringify(choice) }, String(choice)));
  const made = choices.length ? el("select", { required }, el("option", { value: "" }, ""), ...options) : el("input", { ...input, required, autocomplete: "off" });
  return /** @type {Input} */ (made);
}

/** What an input holds, as JSON; nothing if it is empty. @param {Input} input */
function sourceOf(input) {
  const { value } = input;
  if (!value || input instanceof HTMLSelectElement) return value;
  if (input.type !== "number") return JSON.stringify(value);
  return NUMBER.test(value) ? value : String(Number(value)); // a browser takes .5 and 007, JSON does not
}

/** Let an input show a value that is written as JSON; nothing empties it. @param {Input} input @param {string} source
 * @returns {boolean} whether it shows this value and no other */
function showIn(input, source) {
  const value = source && JSON.parse(source);
  const plain = source && JSON.stringify(value);
  if (input instanceof HTMLSelectElement) input.value = plain;
  else input.value = input.type === "number" ? source : String(value);
  const shown = sourceOf(input);
  if (source === '""') return input instanceof HTMLInputElement && input.type !== "number";
  return (shown && JSON.stringify(JSON.parse(shown))) === plain;
}

/** Make the form. What is changed in a field is written into the text at once; all else in the text stays.
 * @param {Field[]} fields @param {HTMLTextAreaElement} text @param {() => void} changed
 * @returns {{content: HTMLElement, fill: () => string}} `fill` shows what the text holds, or returns why no form can */
export function payloadForm(fields, text, changed) {
  /** @type {Map<string, string>} */
  let members = new Map();
  const inputs = fields.map((each) => inputOf(each));
  fields.forEach(({ key }, place) => inputs[place]?.addEventListener("input", () => {
    members.set(key, sourceOf(/** @type {Input} */ (inputs[place])));
    text.value = written(members);
    changed();
  }));
  const others = el("small", { class: "muted" });
  const content = el("div", { class: "fields" }, ...fields.map(({ label, hint }, place) => field(label, /** @type {Input} */ (inputs[place]), hint)), others);
  const fill = () => {
    const found = read(text.value);
    if (found.wrong) return found.wrong;
    const alien = fields.find(({ key }, place) => !showIn(/** @type {Input} */ (inputs[place]), found.members.get(key) ?? ""));
    if (alien) return `${alien.key} has a value that its field cannot show`;
    members = found.members;
    const names = new Set(fields.map(({ key }) => key));
    const rest = [...members.keys()].filter((key) => !names.has(key));
    others.textContent = rest.length ? `Also in the payload, and kept: ${rest.join(", ").slice(0, 500)}` : "";
    return "";
  };
  return { content, fill };
}
