// @ts-check
// What the buttons of pages do, each by a route of JSON.

import { address, call, task } from "./api.js";
import { copy, loaded, toast } from "./dom.js";
import { endSession, refetch } from "./live.js";

/** Say what came of a call, and show it. @param {import("./api.js").Answered} answer @param {string} done */
export function settle(answer, done) {
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

/** Names one run, so that a call that is repeated starts no second one. */
export const key = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (each) => each.toString(16).padStart(2, "0")).join("");

/** @param {string} name */
export async function enable(name) {
  settle(await call("POST", `${task(name)}/enable`, {}), `${name} enabled: it counts from now`);
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

const asks = () => loaded(() => import("./asks.js"));

/** @type {Record<string, (button: HTMLElement) => any>} */
const ACTS = {
  run: ({ dataset }) => run(dataset.name ?? ""),
  "run-with": async ({ dataset }) => (await asks())?.runWith(dataset.name ?? "", dataset.execution),
  enable: ({ dataset }) => enable(dataset.name ?? ""),
  disable: async ({ dataset }) => (await asks())?.disable(dataset.name ?? ""),
  cancel: async ({ dataset }) => (await asks())?.cancel(dataset.id ?? ""),
  init: initialize,
  logout: logOut,
  rerun: async (button) => (await asks())?.rerun(button),
  menu: async (button) => (await asks())?.menu(button),
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
