// @ts-check
// What the buttons of pages do, each by a route of JSON.

import { address, call, execution, task } from "./api.js";
import { ask, each, field, some, typedFor } from "./dialogs.js";
import { copy, el, toast } from "./dom.js";
import { endSession, refetch } from "./live.js";

/** Say what came of a call, and show it. @param {import("./api.js").Answered} answer @param {string} done */
function settle(answer, done) {
  if (answer.ok) toast(done, "ok");
  else toast(reasons(answer), "bad");
  refetch();
}

/** @param {import("./api.js").Answered} answer */
export function reasons(answer) {
  const told = answer.details.map(({ field: name, reason }) => `${name}: ${reason}`).filter((each) => !answer.error.includes(each));
  return [answer.error, ...told].filter(Boolean).join(" – ");
}

/** @param {string} name */
export async function run(name) {
  const answer = await call("POST", `${task(name)}/run`, null, { query: { wait: "false" }, headers: { "idempotency-key": key() } });
  settle(answer, `${name} started`);
}

const key = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (each) => each.toString(16).padStart(2, "0")).join("");

/** Why a text is no JSON object, with its place; nothing if it is one. @param {string} text */
export function wrongJson(text) {
  try {
    const value = JSON.parse(text || "{}");
    return value && typeof value === "object" && !Array.isArray(value) ? "" : "must be a JSON object";
  } catch (error) {
    const told = String(error).replace(/^SyntaxError: /, "");
    const at = /position (\d+)/.exec(told);
    if (!at) return told;
    const before = text.slice(0, Number(at[1])).split("\n");
    return `${told.replace(/ in JSON at position.*/, "")} (line ${before.length}, column ${(before.at(-1) ?? "").length + 1})`;
  }
}

/** @param {string} name @param {string} [id] of an execution whose payload is taken */
export async function runWith(name, id = "") {
  const found = await call("GET", task(name));
  if (!found.ok) return void toast(reasons(found), "bad");
  let payload = found.data.task.payload ?? {};
  if (id) payload = (await call("GET", execution(id))).data?.execution?.payload ?? payload;
  const once = key();
  const text = /** @type {HTMLTextAreaElement} */ (el("textarea", { name: "payload", rows: 10, class: "mono", spellcheck: "false" }, JSON.stringify(payload, null, 2)));
  const told = el("small", { role: "status" });
  const check = () => {
    const wrong = wrongJson(text.value);
    const size = new TextEncoder().encode(text.value).length;
    told.textContent = wrong || `${size.toLocaleString("en")} of 65,536 bytes`;
    text.setAttribute("aria-invalid", String(Boolean(wrong)));
  };
  text.addEventListener("input", check);
  check();
  let started = "";
  const openNow = await call("GET", `${task(name)}/history`, null, { query: { states: "PENDING,RUNNING", limit: 1 } });
  const overlap = found.data.task.policy?.overlap;
  const warning = openNow.data?.count && overlap === "SKIP" ? el("p", { class: "error" }, "One execution of this task is open and its overlap policy is SKIP: this run will be skipped.") : null;
  const done = await ask({ title: `Run ${name}`, confirm: "Run", body: [warning, field("Payload of this run", text), told], act: async () => {
    if (wrongJson(text.value)) return wrongJson(text.value);
    const answer = await call("POST", `${task(name)}/run`, `{"payload": ${text.value || "{}"}}`, { query: { wait: "false" }, headers: { "idempotency-key": once } });
    if (!answer.ok) return reasons(answer);
    started = answer.data.execution.id;
  } });
  if (done) location.href = address(`ui/executions/${encodeURIComponent(started)}`);
}

/** @param {string} name */
export async function enable(name) {
  settle(await call("POST", `${task(name)}/enable`, {}), `${name} enabled: it counts from now`);
}

const noteField = () => field("Note (why, until when)", el("input", { name: "note", maxlength: "1024", autocomplete: "off", autofocus: true }));

/** @param {string} name */
export async function disable(name) {
  const done = await ask({ title: `Disable ${name}`, confirm: "Disable", body: [el("p", { class: "muted" }, "It no longer fires; what runs goes on. The time disabled is not caught up."), noteField()], act: async (values) => {
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
async function cancel(id) {
  await ask({ title: "Cancel this execution", confirm: "Cancel it", danger: true, body: [el("p", { class: "muted" }, "One that waits ends at once; the handler of a running one is asked to stop."), field("Reason", el("input", { name: "note", maxlength: "1024", autocomplete: "off", autofocus: true }))], act: async (values) => {
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
function menu(button) {
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

async function initialize() {
  const answer = await call("POST", "init");
  settle(answer, `${answer.data.registered?.length ?? 0} built-in tasks registered`);
}

function logOut() {
  return endSession(async () => {
    const answer = await call("POST", "ui/logout");
    if (!answer.ok) toast(reasons(answer), "bad");
    return answer.ok;
  }, address("ui/login"));
}

/** Run each of a group of failures again. @param {HTMLElement} button */
async function rerun(button) {
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

/** @type {Record<string, (button: HTMLElement) => any>} */
const ACTS = {
  run: ({ dataset }) => run(dataset.name ?? ""),
  "run-with": ({ dataset }) => runWith(dataset.name ?? "", dataset.execution ?? ""),
  enable: ({ dataset }) => enable(dataset.name ?? ""),
  disable: ({ dataset }) => disable(dataset.name ?? ""),
  cancel: ({ dataset }) => cancel(dataset.id ?? ""),
  init: initialize,
  logout: logOut,
  rerun,
  menu,
};

export function start() {
  document.addEventListener("click", async (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    const button = /** @type {HTMLButtonElement | null} */ (target.closest("[data-act]"));
    const act = button && ACTS[button.dataset.act ?? ""];
    if (act && button) {
      if (button.disabled) return;
      button.disabled = true; // a double click is one
      try {
        await act(button);
      } finally {
        button.disabled = false;
      }
      return;
    }
    const of = target.closest("[data-copy-of]");
    if (of) copy(document.getElementById(of.getAttribute("data-copy-of") ?? "")?.innerText ?? "");
    else if (target.closest(".copy")) copy(target.closest(".copy")?.textContent ?? "");
  });
}
