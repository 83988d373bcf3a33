// @ts-check
// The acts that ask first, and the menu that offers them: loaded once one of them is wanted.

import { enable, key, reasons, settle } from "./actions.js";
import { address, call, execution, task } from "./api.js";
import { ask, each, field, some, typedFor } from "./dialogs.js";
import { copy, el, toast } from "./dom.js";
import { refetch } from "./live.js";
import { runWith } from "./run-with.js";

export { runWith };

const noteField = (/** @type {string} */ label) => field(label, el("input", { name: "note", maxlength: "1024", autocomplete: "off", autofocus: true }));

/** @param {string} name */
export async function disable(name) {
  const done = await ask({ title: `Disable ${name}`, confirm: "Disable", body: [el("p", { class: "muted" }, "It no longer fires; what runs goes on. The time disabled is not caught up."), noteField("Note (why, until when)")], act: async (values) => {
    const answer = await call("POST", `${task(name)}/disable`, { note: String(values.get("note") ?? "") });
    return answer.ok ? undefined : reasons(answer);
  } });
  if (done) settle({ ok: true, status: 200, data: {}, error: "", details: [] }, `${name} disabled`);
}

/** @param {string} name */
export async function remove(name) {
  const done = await ask({ title: `Delete ${name}`, confirm: "Delete", danger: true, typed: name, body: [el("p", { class: "muted" }, "The task is gone at once; its history stays until retention removes it.")], act: async () => {
    const answer = await call("DELETE", task(name));
    return answer.ok ? undefined : reasons(answer);
  } });
  if (done) location.href = address("ui/tasks");
}

/** @param {string} id */
export async function cancel(id) {
  await ask({ title: "Cancel this execution", confirm: "Cancel it", danger: true, body: [el("p", { class: "muted" }, "One that waits ends at once; the handler of a running one is asked to stop."), noteField("Reason")], act: async (values) => {
    const answer = await call("POST", `${execution(id)}/cancel`, { note: String(values.get("note") ?? "") });
    if (!answer.ok) return reasons(answer);
  } });
  refetch();
}

/** @param {string} name */
export async function backfill(name) {
  const day = 86400000;
  const text = (/** @type {number} */ at) => new Date(at).toISOString().slice(0, 16) + "Z";
  const input = (/** @type {string} */ as, /** @type {number} */ at) => el("input", { name: as, value: text(at), class: "mono" });
  await ask({ title: `Backfill ${name}`, confirm: "Backfill", body: [el("p", { class: "muted" }, "Records an execution for each occurrence in this time that has none, at most 1,000; they run one by one."), field("From", input("startTime", Date.now() - day)), field("To", input("endTime", Date.now()))], act: async (values) => {
    const answer = await call("POST", `${task(name)}/backfill`, { startTime: String(values.get("startTime")), endTime: String(values.get("endTime")) });
    if (!answer.ok) return reasons(answer);
    toast(`${answer.data.count} recorded, ${answer.data.existingCount ?? 0} were there`, "ok");
  } });
  refetch();
}

/** @param {HTMLElement} button */
export function menu(button) {
  document.querySelector(".menu")?.remove();
  const { name = "", enabled, write } = button.dataset;
  const item = (/** @type {string} */ word, /** @type {() => any} */ act, danger = false) => el("button", { type: "button", role: "menuitem", class: danger ? "danger" : null, onclick: () => { close(); act(); } }, word);
  const go = (/** @type {string} */ path) => { location.href = address(`ui/${path}`); };
  const items = [
    item("Run with payload…", () => runWith(name)),
    enabled === "true" ? item("Disable…", () => disable(name)) : item("Enable", () => enable(name)),
    item("Backfill…", () => backfill(name)),
    item("Why did it not run?", () => go(`${task(name)}/why`)),
    item("Copy name", () => copy(name)),
    ...(write === "true" ? [item("Edit", () => go(`${task(name)}/edit`)), el("button", { type: "button", role: "menuitem", onclick: () => { location.href = address("ui/tasks/new", { copy: name }); } }, "New from this"), item("Delete…", () => remove(name), true)] : []),
  ];
  const made = el("div", { class: "menu", role: "menu", "aria-label": name }, ...items);
  const close = () => {
    made.remove();
    document.removeEventListener("click", away);
    button.focus();
  };
  const away = (/** @type {Event} */ event) => !made.contains(/** @type {Node} */ (event.target)) && close();
  made.addEventListener("keydown", (event) => {
    const at = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (way) items[(at + way + items.length) % items.length]?.focus();
    else if (event.key === "Escape" || event.key === "Tab") close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  document.body.append(made);
  const box = button.getBoundingClientRect();
  made.style.top = `${Math.min(box.bottom + 4, innerHeight - made.offsetHeight - 8) + scrollY}px`;
  made.style.left = `${Math.max(8, box.right - made.offsetWidth) + scrollX}px`;
  items[0]?.focus();
  setTimeout(() => document.addEventListener("click", away));
}

/** Run each of a group of failures again. @param {HTMLElement} button */
export async function rerun(button) {
  const names = (button.dataset.names ?? "").split(" ").filter(Boolean);
  const confirmed = await ask({
    title: `Run ${names.length} ${names.length === 1 ? "task" : "tasks"} again`,
    confirm: "Run",
    typed: typedFor(names.length),
    body: [el("p", { class: "muted" }, some(names)), el("p", { class: "muted" }, "Each runs once, with the payload of its definition.")],
    act: async () => {},
  });
  if (!confirmed) return;
  await each("Run again", names, async (name) => reasons(await call("POST", `${task(name)}/run`, null, { query: { wait: "false" }, headers: { "idempotency-key": key() } })));
  refetch();
}
