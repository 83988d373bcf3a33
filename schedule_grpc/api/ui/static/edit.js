// @ts-check
// The form of a task: when it would run, shown while one writes; and what a change means, before it is made.

import { call, task } from "./api.js";
import { reasons } from "./actions.js";
import { ask } from "./dialogs.js";
import { el } from "./dom.js";
import { read } from "./json-text.js";
import { draw } from "./times.js";

const form = () => /** @type {HTMLFormElement} */ (document.getElementById("task-form"));
const value = (/** @type {string} */ name) => /** @type {HTMLInputElement | null} */ (form().elements.namedItem(name))?.value ?? "";

/** @param {string} at @param {string} zone @param {string} form */
const time = (at, zone, form = "at") => el("time", { datetime: at, "data-form": form, "data-zone": zone }, at);

/** @param {{field: string, reason: string}[]} details @param {string} [other] */
function showErrors(details, other = "") {
  for (const place of form().querySelectorAll("[data-error]")) {
    const name = place.getAttribute("data-error") ?? "";
    const found = details.filter((each) => name && (each.field === name || each.field.startsWith(`${name}.`)));
    place.textContent = found.map((each) => each.reason).join("; ");
    place.parentElement?.querySelector("input, select, textarea")?.setAttribute("aria-invalid", String(found.length > 0));
    if (found.length) place.closest("details")?.setAttribute("open", "");
  }
  const known = [...form().querySelectorAll("[data-error]")].map((each) => each.getAttribute("data-error"));
  const rest = details.filter((each) => !known.some((name) => name && (each.field === name || each.field.startsWith(`${name}.`))));
  const top = /** @type {HTMLElement | null} */ (form().querySelector('[data-error=""]'));
  if (!top) return;
  top.textContent = rest.map((each) => `${each.field}: ${each.reason}`).join("; ") || (details.length ? "" : other);
  top.hidden = !top.textContent;
}

let asked = 0;
async function preview() {
  const place = document.getElementById("preview");
  const schedule = value("schedule").trim();
  if (!place || !schedule) return;
  const turn = ++asked;
  const zone = value("timeZone") || "UTC";
  const answer = await call("GET", "preview", null, { query: { schedule, timeZone: zone, count: 10 } });
  if (turn !== asked) return;
  if (!answer.ok) {
    place.replaceChildren(el("p", { class: "error" }, reasons(answer)));
    return;
  }
  const { description, nextRuns, notes } = answer.data;
  const local = new Intl.DateTimeFormat("en-GB", { timeZone: zone, weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short" });
  place.replaceChildren(
    el("p", {}, el("b", {}, description)),
    nextRuns.length ? el("ol", {}, ...nextRuns.map((/** @type {string} */ at) => el("li", {}, el("span", {}, local.format(Date.parse(at))), el("span", { class: "muted" }, at.replace("T", " ").replace(".000Z", "Z"))))) : el("p", { class: "muted" }, "It never fires by itself."),
    ...notes.map((/** @type {string} */ note) => el("p", { class: "small muted" }, note)));
  draw(place);
}

/** The body that the form stands for, as JSON; payload and metadata as they were written. @param {boolean} validateOnly @param {string} etag */
function body(validateOnly, etag) {
  const { name } = form().dataset;
  /** @type {Record<string, any>} */
  const fields = { schedule: value("schedule").trim(), timeZone: value("timeZone").trim() || "UTC", handler: value("handler").trim(), description: value("description"), validateOnly };
  if (!name) fields.name = value("name").trim();
  if (etag) fields.etag = etag;
  if (/** @type {HTMLInputElement} */ (form().elements.namedItem("allowUnknownHandler")).checked) fields.allowUnknownHandler = true;
  /** @type {Record<string, any>} */
  const policy = {};
  for (const input of /** @type {NodeListOf<HTMLInputElement>} */ (form().querySelectorAll("[data-kind]"))) {
    const [, ...path] = input.name.split(".");
    const last = path.pop() ?? "";
    const text = input.value.trim();
    /** @type {any} */
    let read = text;
    if (!text) read = null;
    else if (input.dataset.kind === "number" && !Number.isNaN(Number(text))) read = Number(text);
    else if (input.dataset.kind === "flag") read = text === "true";
    if (read === null && !name) continue;
    path.reduce((place, each) => (place[each] ??= {}), policy)[last] = read;
  }
  fields.policy = policy;
  const rest = JSON.stringify(fields).slice(1);
  return `{"payload":${value("payload").trim() || "{}"},"metadata":${value("metadata").trim() || "{}"},${rest}`;
}

/** @param {any} object @param {string} [prefix] @returns {[string, string][]} */
function flat(object, prefix = "") {
  return Object.entries(object ?? {}).flatMap(([name, found]) => {
    const path = prefix + name;
    if (path.startsWith("policy") && found && typeof found === "object") return flat(found, `${path}.`);
    if (path.endsWith("Ms") && typeof found === "number") return [[path.slice(0, -2), `${found / 1000} s`]];
    return [[path, typeof found === "string" ? found : JSON.stringify(found)]];
  });
}

const SHOWN = new Set(["schedule", "timeZone", "handler", "description", "payload", "metadata"]);

/** What differs between two tasks. @param {any} before @param {any} after */
function difference(before, after) {
  const [old, fresh] = [new Map(flat(before)), new Map(flat(after))];
  const names = [...new Set([...old.keys(), ...fresh.keys()])].filter((name) => SHOWN.has(name) || name.startsWith("policy"));
  return names.filter((name) => old.get(name) !== fresh.get(name)).map((name) => ({ name, old: old.get(name) ?? "", fresh: fresh.get(name) ?? "" }));
}

const MANY = 1000; // as many that wait are counted, and no more

/** @param {number} number @param {string} state */
const executions = (number, state) => `${number < MANY ? number : "1,000 or more"} ${state} ${number === 1 ? "execution" : "executions"}`;

/** What a change means for executions that have not ended. An execution has the handler that its task had when it was
 * recorded; a change rewrites it in those that wait, also for a retry, and leaves it in those that run, also for their
 * retries. All else that an attempt takes from its task it takes when it begins.
 * @param {any} before @param {any} after @param {string[]} changed the names of fields @returns {Promise<string[]>} */
async function consequences(before, after, changed) {
  const taken = Object.entries({ payload: /^payload$/, timeout: /^policy\.timeout/, retries: /^policy\.retry/ }).filter(([, field]) => changed.some((name) => field.test(name))).map(([word]) => word);
  const moves = changed.includes("handler");
  if (!moves && !taken.length) return [];
  const found = await call("GET", "tasks", null, { query: { namePrefix: before.name, pageSize: 1, view: "full" } });
  if (!found.ok) return [`What has not ended could not be counted: ${reasons(found)}`];
  const { waiting = 0, running = 0 } = found.data.tasks[0]?.activity ?? {};
  const told = [];
  if (moves && waiting) told.push(`${executions(waiting, "pending")} ${waiting === 1 ? "changes" : "change"} handler, to ${after.handler}.`);
  if (moves && running) told.push(`${executions(running, "running")} ${running === 1 ? "keeps" : "keep"} the handler ${before.handler}, for retries too.`);
  const both = [waiting && executions(waiting, "pending"), running && `retries of ${executions(running, "running")}`].filter(Boolean).join(" and ");
  if (taken.length && both) told.push(`New ${taken.join(", ")}: also for ${both}.${taken.includes("payload") ? " Runs that were given a payload keep it." : ""}`);
  return told;
}

async function review() {
  for (const name of ["payload", "metadata"]) {
    const { wrong } = read(value(name));
    if (wrong) return showErrors([{ field: name, reason: wrong }]);
  }
  const name = form().dataset.name ?? "";
  const [method, path] = name ? ["PATCH", task(name)] : ["POST", "tasks"];
  let etag = form().dataset.etag ?? "";
  const before = name ? (await call("GET", task(name))).data.task : null;
  const checked = await call(method, path, body(true, ""));
  showErrors(checked.details, checked.error);
  if (!checked.ok) return;
  const after = checked.data.task;
  if (!name) {
    const there = await call("GET", "tasks", null, { query: { namePrefix: after.name, pageSize: 1 } });
    if (there.data.tasks?.[0]?.name === after.name) return showErrors([{ field: "name", reason: "is the name of a task that exists: edit that one" }]);
  }
  const changes = difference(before, after);
  const carried = before ? await consequences(before, after, changes.map((each) => each.name)) : [];
  const rows = changes.map((row) => el("tr", {}, el("th", { scope: "row" }, row.name), el("td", {}, el("del", {}, row.old)), el("td", {}, el("ins", {}, row.fresh))));
  const moved = before && before.nextRun !== after.nextRun ? [el("p", {}, "The next run moves from ", before.nextRun ? time(before.nextRun, before.timeZone) : "never", " to ", after.nextRun ? time(after.nextRun, after.timeZone) : "never", ".")] : [];
  const changedMeanwhile = before && etag && before.etag !== etag ? [el("p", { class: "error" }, "Somebody else has changed this task since you opened it. What you see as before is their version; saving overwrites it with yours.")] : [];
  if (changedMeanwhile.length) etag = before.etag;
  const table = rows.length ? el("table", { class: "diff" }, el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Field"), el("th", { scope: "col" }, name ? "Before" : ""), el("th", { scope: "col" }, name ? "After" : "Value"))), el("tbody", {}, ...rows)) : el("p", { class: "muted" }, "Nothing changes.");
  const first = after.nextRun && !before ? [el("p", {}, "It runs first ", time(after.nextRun, after.timeZone, "rel"), ", ", time(after.nextRun, after.timeZone), ".")] : [];
  const done = ask({ title: name ? `Change ${name}` : `Create ${after.name}`, confirm: name ? "Save" : "Create", body: [...changedMeanwhile, table, ...moved, ...first, ...carried.map((line) => el("p", {}, line))], act: async () => {
    const answer = await call(method, path, body(false, etag));
    if (answer.status === 409) return `${answer.error}. Close this and review again to see the other version.`;
    if (!answer.ok) showErrors(answer.details, answer.error);
    return answer.ok ? undefined : reasons(answer);
  } });
  draw(document);
  if (await done) location.href = `${form().dataset.done?.split("?")[0]}/${encodeURIComponent(after.name)}${location.search.includes("namespace=") ? `?namespace=${document.documentElement.dataset.namespace}` : ""}`;
}

export function start() {
  if (!form()) return;
  // Until now a click would have been lost.
  /** @type {HTMLButtonElement | null} */ (form().querySelector("button[type=submit]"))?.removeAttribute("disabled");
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let waiting;
  form().addEventListener("input", (event) => {
    const input = /** @type {HTMLInputElement} */ (event.target);
    if (input.name === "schedule" || input.name === "timeZone") {
      clearTimeout(waiting);
      waiting = setTimeout(preview, 250);
    }
    if (input.hasAttribute("data-json")) {
      const { wrong } = read(input.value);
      const place = input.parentElement?.querySelector("[data-error]");
      if (place) place.textContent = wrong;
      input.setAttribute("aria-invalid", String(Boolean(wrong)));
    }
  });
  form().addEventListener("submit", (event) => {
    event.preventDefault();
    review();
  });
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const known = /** @type {any} */ (Intl).supportedValuesOf?.("timeZone") ?? [];
  document.getElementById("zones")?.append(...[...new Set([own, "UTC", ...known])].map((zone) => el("option", { value: zone })));
  preview();
}
