// @ts-check
// Many tasks at once: those that are ticked, or all that match the filter of the list.

import { call, task } from "./api.js";
import { reasons } from "./actions.js";
import { ask, each, field, some, typedFor } from "./dialogs.js";
import { el } from "./dom.js";
import { refetch } from "./live.js";

const boxes = () => /** @type {HTMLInputElement[]} */ ([...document.querySelectorAll('input[data-pick]:not([data-pick="all"])')]);
const ticked = () => boxes().filter((box) => box.checked).map((box) => box.dataset.pick ?? "");
const part = (/** @type {string} */ name) => /** @type {HTMLInputElement | null} */ (document.querySelector(`[data-bulk="${name}"]`));

function show() {
  const bar = document.getElementById("bulk");
  if (!bar) return;
  const count = ticked().length;
  const all = /** @type {HTMLInputElement | null} */ (document.querySelector('input[data-pick="all"]'));
  if (all) {
    all.checked = count > 0 && count === boxes().length;
    all.indeterminate = count > 0 && count < boxes().length;
  }
  bar.hidden = count === 0;
  const matching = part("matching");
  if (matching && count === 0) matching.checked = false;
  const word = part("count");
  if (word) word.textContent = matching?.checked ? "all that match" : `${count} selected`;
}

/** The names of all tasks that match the filter. @returns {Promise<string[]>} */
async function matching() {
  const asked = new URL(document.getElementById("bulk")?.dataset.api ?? "", location.href);
  /** @type {string[]} */
  const names = [];
  let token = "";
  do {
    asked.searchParams.set("pageSize", "1000");
    if (token) asked.searchParams.set("pageToken", token);
    const answer = await fetch(asked, { credentials: "same-origin" });
    if (!answer.ok) return names;
    const page = await answer.json();
    names.push(...page.tasks.map((/** @type {any} */ found) => found.name));
    token = page.nextPageToken ?? "";
  } while (token);
  return names;
}

/** @type {Record<string, {word: string, danger?: boolean, call: (name: string, note: string) => ReturnType<typeof call>}>} */
const ACTS = {
  enable: { word: "Enable", call: (name) => call("POST", `${task(name)}/enable`, {}) },
  disable: { word: "Disable", call: (name, note) => call("POST", `${task(name)}/disable`, { note }) },
  run: { word: "Run", call: (name) => call("POST", `${task(name)}/run`, null, { query: { wait: "false" } }) },
  delete: { word: "Delete", danger: true, call: (name) => call("DELETE", task(name)) },
};

/** @param {string} name */
async function begin(name) {
  const act = ACTS[name];
  if (!act) return;
  const names = part("matching")?.checked ? await matching() : ticked();
  let note = "";
  const confirmed = await ask({
    title: `${act.word} ${names.length} ${names.length === 1 ? "task" : "tasks"}`,
    confirm: act.word,
    danger: Boolean(act.danger),
    typed: act.danger ? String(names.length) : typedFor(names.length),
    body: [el("p", { class: "muted" }, some(names)), name === "disable" ? field("Note (why, until when)", el("input", { name: "note", maxlength: "1024", autocomplete: "off" })) : null],
    act: async (values) => { note = String(values.get("note") ?? ""); },
  });
  if (!confirmed) return;
  await each(`${act.word} ${names.length}`, names, async (each) => reasons(await act.call(each, note)));
  for (const box of boxes()) box.checked = false;
  show();
  refetch();
}

export function start() {
  document.addEventListener("change", (event) => {
    const box = /** @type {HTMLInputElement} */ (event.target);
    if (box.dataset.pick === "all") for (const each of boxes()) each.checked = box.checked;
    if (box.dataset.pick || box.dataset.bulk) show();
  });
  document.addEventListener("click", (event) => {
    const button = /** @type {HTMLElement} */ (event.target).closest("[data-bulk-act]");
    if (button) begin(button.getAttribute("data-bulk-act") ?? "");
  });
  document.addEventListener("patched", show);
}

