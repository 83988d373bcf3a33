// @ts-check
// The dialog that runs a task with a payload: as fields where the handler's schema is flat, and as JSON.

import { key, reasons } from "./actions.js";
import { address, call, task } from "./api.js";
import { ask, field } from "./dialogs.js";
import { el, toast } from "./dom.js";
import { read } from "./json-text.js";
import { payloadForm } from "./payload-form.js";

/** @param {string} name @param {string} [execution] whose payload is taken */
export async function runWith(name, execution = "") {
  const found = await call("GET", `ui/${task(name)}/run-form`, null, { query: { execution } });
  if (!found.ok) return void toast(reasons(found), "bad");
  const { payload, fields, skips } = found.data;
  const once = key();
  const text = /** @type {HTMLTextAreaElement} */ (el("textarea", { rows: 10, class: "mono", spellcheck: "false" }));
  text.value = payload;
  const told = el("small", { role: "status" });
  const check = () => {
    const { wrong } = read(text.value);
    told.textContent = wrong || `${new TextEncoder().encode(text.value).length.toLocaleString("en")} of 65,536 bytes`;
    text.setAttribute("aria-invalid", String(Boolean(wrong)));
    return wrong;
  };
  text.addEventListener("input", check);
  const asText = field("Payload of this run", text);
  const place = el("div", { class: "fields" }, asText);
  const form = fields.length ? payloadForm(fields, text, check) : null;
  // What is not shown is not in the document, so that the browser checks only the fields that are.
  const turn = () => {
    const why = place.contains(asText) ? form?.fill() : "";
    const showsText = Boolean(why) || !place.contains(asText);
    place.replaceChildren(showsText ? asText : /** @type {any} */ (form).content);
    button.textContent = showsText ? "As fields" : "As JSON";
    check();
    if (why) told.textContent = `Only JSON can show this payload: ${why}`;
  };
  const button = el("button", { class: "btn small", type: "button", onclick: turn }, "As fields");
  check();
  if (form) turn();
  let started = "";
  const warning = skips ? el("p", { class: "error" }, "One execution of this task is open and its overlap policy is SKIP: this run will be skipped.") : null;
  const done = await ask({ title: `Run ${name}`, confirm: "Run", body: [warning, place, form ? el("div", { class: "row" }, button, told) : told], act: async () => {
    const wrong = check();
    if (wrong) return wrong;
    const answer = await call("POST", `${task(name)}/run`, `{"payload": ${text.value.trim() || "{}"}}`, { query: { wait: "false" }, headers: { "idempotency-key": once } });
    if (!answer.ok) return reasons(answer);
    started = answer.data.execution.id;
  } });
  if (done) location.href = address(`ui/executions/${encodeURIComponent(started)}`);
}
