// @ts-check
// Keeping the page as the server has it: ticks say what changed, then the page asks for its own part again.

import { toast } from "./dom.js";
import { patch } from "./patch.js";

const FLOOR = 2000; // milliseconds between two requests of a tab
const OWN = 3000; // for which a change of the reader's own may be newer than parts for other tabs
const POLL = 30000; // where no stream is to be had
const main = () => /** @type {HTMLElement} */ (document.getElementById("main"));

let etag = "";
let last = 0;
let isStale = false;
let isPaused = false;
let isAsking = false;
let hasBegun = false;
let isOver = false; // the session, or it is about to be: answers that are under way come too late
/** Tells tabs of a session's end. @type {BroadcastChannel | undefined} */
let tabs;
let state = "off";
let since = "";
let epoch = "";
let mark = ""; // of the newest tick
let anewUntil = 0; // after a change of the reader's own, no part that was made for other tabs will do
/** @type {ReturnType<typeof setTimeout> | undefined} */
let waiting;
/** @type {ReturnType<typeof setInterval> | undefined} */
let polling;

/** @param {string} next */
function show(next) {
  if (next === "lost" && state !== "lost") since = new Date().toLocaleTimeString("en-GB");
  if (next === "on" && state === "lost") isStale = true; // what happened meanwhile is not told
  state = next;
  const mark = document.getElementById("live");
  const word = mark?.querySelector(".live-word");
  if (!mark || !word) return;
  const shown = isPaused ? "paused" : state;
  if (mark.dataset.state === shown) return;
  mark.dataset.state = shown;
  word.textContent = { on: "live", lost: `not live since ${since}, trying`, paused: "paused", off: "connecting" }[shown] ?? shown;
  if (shown === "on" && isStale) soon();
}

/** Whether a tick concerns the page. @param {{t?: string[] | null, x?: string[] | null}} tick */
function concerns(tick) {
  const watch = main().dataset.watch ?? "";
  if (!watch || tick.t === undefined) return false;
  if (watch === "*" || tick.t === null) return true;
  const [kind, name] = [watch.slice(0, watch.indexOf(":")), watch.slice(watch.indexOf(":") + 1)];
  return kind === "task" ? tick.t.includes(name) : (tick.x ?? []).includes(name);
}

/** @param {Record<string, any>} numbers */
function count(numbers) {
  for (const [name, value] of Object.entries(numbers)) {
    const mark = document.querySelector(`[data-n="${name}"]`);
    if (mark) mark.textContent = typeof value === "number" ? value.toLocaleString("en") : value;
    if (mark && name === "failing") mark.parentElement?.setAttribute("data-hot", value ? "bad" : "");
  }
}

/** @param {string[]} troubles */
function tellHealth(troubles) {
  const line = document.getElementById("health");
  const reasons = document.getElementById("health-reasons");
  if (!line || !reasons) return;
  line.hidden = !troubles.length;
  if (reasons.textContent !== troubles.join("; ")) reasons.textContent = troubles.join("; ");
}

/** What happened between the making of the page and its first word from the feed is asked for. @param {string} told */
function begin(told) {
  mark = told || mark;
  if (hasBegun || !mark) return;
  hasBegun = true;
  if (mark !== document.documentElement.dataset.seen && main().dataset.watch) soon();
}

/** @param {string} text */
function hear(text) {
  const tick = JSON.parse(text);
  begin(`${tick.e}:${tick.v}`);
  if (epoch && tick.e !== epoch) isStale = true; // another server, or the same one anew
  epoch = tick.e;
  if (tick.n) count(tick.n);
  if (tick.h) tellHealth(tick.h);
  if (concerns(tick) || isStale) soon();
}

function soon() {
  isStale = true;
  if (isPaused || document.hidden || waiting) return;
  const pause = Math.max(last + FLOOR - Date.now(), 0) + Math.random() * 300;
  waiting = setTimeout(() => {
    waiting = undefined;
    ask(Date.now() < anewUntil ? "" : mark);
  }, pause);
}

/** Ask for the page's part anew, and show what differs. */
export function refetch() {
  anewUntil = Date.now() + OWN;
  return ask("");
}

/** Ask for the page's part again; one that another tab was given after the same tick will do. @param {string} tick */
async function ask(tick) {
  if (isAsking || isOver) return;
  isAsking = true;
  last = Date.now();
  isStale = false;
  try {
    const answer = await fetch(location.href.split("#")[0], { headers: { "x-part": "main", ...(tick ? { "x-tick": tick } : {}), ...(etag ? { "if-none-match": etag } : {}) }, credentials: "same-origin", cache: "no-store" });
    const text = await answer.text();
    if (isOver) return;
    main().classList.remove("stale");
    if (answer.status === 401) return leave();
    if (answer.status === 304) return;
    if (!answer.ok && answer.status !== 404) {
      if (answer.status >= 500) main().classList.add("stale");
      return;
    }
    const fresh = new DOMParser().parseFromString(text, "text/html").querySelector("main");
    if (!fresh) return;
    main().dataset.watch = fresh.dataset.watch ?? "";
    etag = patch(main(), document.importNode(fresh, true)) ? answer.headers.get("etag") ?? "" : "";
    document.dispatchEvent(new Event("patched"));
    if (!etag) setTimeout(soon, FLOOR);
  } catch {
    if (isOver) return;
    main().classList.add("stale");
    isStale = true;
  } finally {
    isAsking = false;
  }
}

/** The session is over: what is shown goes at once, also for the button Back; the server says where to log in. */
function leave(to = location.href) {
  isOver = true;
  for (const shown of [main(), document.getElementById("counts")]) shown?.replaceChildren();
  if (to === location.href) location.reload();
  else location.replace(to);
}

/** End the session by a call; all tabs leave their pages if it succeeds, none shows anything anew meanwhile.
 * @param {() => Promise<boolean>} end @param {string} to where this tab goes then */
export async function endSession(end, to) {
  isOver = true;
  if (await end()) {
    tabs?.postMessage("over");
    leave(to);
  } else {
    isOver = false;
    soon();
  }
}

export function pause() {
  isPaused = !isPaused;
  show(state);
  toast(isPaused ? "Paused: the page stays as it is" : "Live again");
  if (!isPaused) refetch();
}

/** @param {any} message */
function take(message) {
  if (isOver) return;
  if (message.state) show(message.state);
  if (message.mark) begin(message.mark);
  if (message.refused) soon(); // the page is told why: perhaps the session is over
  if (message.tick) {
    show("on");
    hear(message.tick);
  }
}

/** Without a worker for all tabs, a stream of this tab's own while it is seen. @param {string} url */
function alone(url) {
  /** @type {EventSource | null} */
  let source = null;
  const follow = () => {
    if (document.hidden) {
      source?.close();
      source = null;
      return;
    }
    if (source) return;
    source = new EventSource(url);
    source.onopen = () => show("on");
    source.onmessage = (event) => take({ tick: event.data });
    source.onerror = () => show("lost");
  };
  document.addEventListener("visibilitychange", follow);
  follow();
}

export function start() {
  const feed = document.documentElement.dataset.feed;
  if (!feed || !document.querySelector(".nav")) return;
  const url = new URL(feed, location.href).href;
  tabs = new BroadcastChannel(url.split("?")[0]); // of all namespaces: a session is for all of them
  tabs.onmessage = () => leave();
  if (typeof SharedWorker === "undefined") alone(url);
  else {
    const worker = new SharedWorker(new URL("./feed-worker.js", import.meta.url), { name: url });
    worker.onerror = () => alone(url); // as browsers refuse it in a frame of another site
    worker.port.onmessage = ({ data }) => take(data);
    worker.port.start();
    const beat = () => worker.port.postMessage({ url });
    beat();
    setInterval(beat, 30000);
    addEventListener("pagehide", () => worker.port.postMessage({ bye: true }));
    addEventListener("pageshow", (event) => event.persisted && (isOver ? location.reload() : (beat(), soon())));
  }
  polling = setInterval(() => state === "lost" && soon(), POLL);
  document.addEventListener("visibilitychange", () => !document.hidden && isStale && soon());
}
