// @ts-check
// What the keys do, and whether single letters do it.

import { show } from "./dialogs.js";
import { el, store, stored } from "./dom.js";

const HELP = [
  ["/  or  Ctrl K", "search and commands"], ["j  k", "next and previous row"], ["Enter", "open the row"], ["x", "select the row"],
  ["g  then  n t e f u h s", "Now, Tasks, Executions, Failures, Upcoming, Handlers, System"],
  ["r", "pause and resume live updates"], ["t", "theme: system, light, dark"], ["z", "zone of times: UTC, browser, task's"], ["Esc", "close"], ["?", "this help"],
];

export function open() {
  const off = /** @type {HTMLInputElement} */ (el("input", { type: "checkbox", onchange: () => store("keys", off.checked ? "" : "off") }));
  off.checked = stored("keys", "") !== "off";
  const rows = HELP.flatMap(([keys, meaning]) => [el("kbd", {}, keys ?? ""), el("span", {}, meaning ?? "")]);
  const close = el("button", { class: "btn", type: "button", onclick: () => dialog.close() }, "Close");
  const dialog = show(el("div", {}, el("h2", {}, "Keys"), el("div", { class: "keys" }, ...rows), el("p", { class: "buttons" }, el("label", { class: "check" }, off, "single letters act"), el("span", { class: "spring" }), close)));
}
