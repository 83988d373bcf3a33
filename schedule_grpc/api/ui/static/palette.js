// @ts-check
// The palette: go to a page, find a task, run, enable or disable it.

import { address, call, task } from "./api.js";
import { enable, run } from "./actions.js";
import { disable, runWith } from "./asks.js";
import { show } from "./dialogs.js";
import { el } from "./dom.js";

/** @typedef {{word: string, hint: string, act: () => any}} Choice */

const go = (/** @type {string} */ path, query = {}) => () => { location.href = address(path, query); };

/** @returns {Choice[]} */
function pages() {
  const links = /** @type {HTMLAnchorElement[]} */ ([...document.querySelectorAll(".nav a")]);
  const found = links.map((link) => ({ word: link.textContent ?? "", hint: "page", act: () => { location.href = link.href; } }));
  return [...found, { word: "Failing tasks", hint: "list", act: go("ui/tasks", { state: "failing" }) }, { word: "Failed executions", hint: "list", act: go("ui/executions", { states: "FAILED" }) }, { word: "New task", hint: "form", act: go("ui/tasks/new") }];
}

/** What can be done with the task of this page. @returns {Choice[]} */
function ofThisTask() {
  const head = /** @type {HTMLElement | null} */ (document.querySelector("#task-head[data-task]"));
  const name = head?.dataset.task;
  if (!name || !head?.querySelector("[data-act]")) return [];
  const choices = [{ word: `Run ${name}`, hint: "this task", act: () => run(name) }, { word: `Run ${name} with a payload…`, hint: "this task", act: () => runWith(name) }];
  choices.push(head.querySelector('[data-act="enable"]') ? { word: `Enable ${name}`, hint: "this task", act: () => enable(name) } : { word: `Disable ${name}…`, hint: "this task", act: () => disable(name) });
  choices.push({ word: `Why did ${name} not run?`, hint: "this task", act: go(`ui/${task(name)}/why`) });
  return choices;
}

export function open() {
  if (document.querySelector("dialog[open]") || !document.querySelector(".nav")) return;
  /** @type {Choice[]} */
  let choices = [];
  let chosen = 0;
  let asked = 0;
  const list = el("ul", { role: "listbox", id: "palette-list", "aria-label": "What to go to" });
  const count = el("div", { class: "count", role: "status" });
  const input = /** @type {HTMLInputElement} */ (el("input", { type: "text", placeholder: "Task, page or command", "aria-label": "Task, page or command", role: "combobox", "aria-expanded": "true", "aria-controls": "palette-list", autocomplete: "off", spellcheck: "false" }));
  const dialog = show(el("div", {}, input, list, count), "palette");
  dialog.setAttribute("aria-label", "Search and commands");
  const pick = (/** @type {number} */ place) => {
    const choice = choices[place];
    if (!choice) return;
    dialog.close();
    choice.act();
  };
  const draw = () => {
    chosen = Math.min(Math.max(chosen, 0), Math.max(choices.length - 1, 0));
    list.replaceChildren(...choices.map((choice, place) => el("li", { role: "option", id: `palette-${place}`, "aria-selected": String(place === chosen), onclick: () => pick(place), onpointermove: () => place !== chosen && ((chosen = place), draw()) }, el("span", {}, choice.word), el("span", { class: "muted" }, choice.hint))));
    input.setAttribute("aria-activedescendant", choices.length ? `palette-${chosen}` : "");
    list.children[chosen]?.scrollIntoView({ block: "nearest" });
    count.textContent = choices.length ? `${chosen + 1} of ${choices.length}` : "Nothing found";
  };
  const seek = async () => {
    const text = input.value.trim();
    const turn = ++asked;
    const fixed = [...ofThisTask(), ...pages()].filter((each) => each.word.toLowerCase().includes(text.toLowerCase()));
    choices = fixed;
    chosen = 0;
    draw();
    if (!text) return;
    const answer = await call("GET", "tasks", null, { query: { q: text, pageSize: 20 } });
    if (turn !== asked || !answer.ok) return;
    const tasks = answer.data.tasks.map((/** @type {any} */ found) => ({ word: found.name, hint: "task", act: go(`ui/${task(found.name)}`) }));
    choices = text.startsWith("exec_") ? [{ word: text, hint: "execution", act: go(`ui/executions/${encodeURIComponent(text)}`) }, ...fixed] : [...tasks, ...fixed];
    draw();
  };
  input.addEventListener("input", seek);
  input.addEventListener("keydown", (event) => {
    const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (way) chosen += way;
    else if (event.key === "Enter") pick(chosen);
    else return;
    event.preventDefault();
    if (way) draw();
  });
  seek();
}
