// @ts-check
// Times in the chosen zone, and relative to now: one timer redraws what moves. The server writes UTC for readers without scripts.

import { store, stored } from "./dom.js";

/** @type {Map<string, Intl.DateTimeFormat>} */
const formats = new Map();
let offset = 0; // of the server's clock, in milliseconds

export const zones = ["utc", "local", "task"];
export const chosenZone = () => stored("zone", "utc");

/** @param {string} zone */
export function chooseZone(zone) {
  store("zone", zone);
  draw(document);
}

/** The zone of one element. @param {HTMLElement} element */
function zoneOf(element) {
  const chosen = chosenZone();
  if (chosen === "local") return undefined;
  return chosen === "task" ? element.dataset.zone || "UTC" : "UTC";
}

/** @param {string | undefined} zone @param {string} form */
function format(zone, form) {
  const key = `${zone} ${form}`;
  let made = formats.get(key);
  if (!made) {
    /** @type {Intl.DateTimeFormatOptions} */
    const clock = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
    /** @type {Intl.DateTimeFormatOptions} */
    const day = { day: "numeric", month: "short", ...(form === "year" ? { year: "numeric" } : {}) };
    const more = form === "ms" ? { fractionalSecondDigits: /** @type {3} */ (3) } : { timeZoneName: /** @type {"short"} */ ("short") };
    made = new Intl.DateTimeFormat("en-GB", { timeZone: zone, ...(form === "ms" ? {} : day), ...clock, ...more });
    formats.set(key, made);
  }
  return made;
}

/** @param {number} seconds */
export function span(seconds) {
  const whole = Math.floor(Math.abs(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  if (whole < 36 * 3600) return `${Math.floor(whole / 3600)} h`;
  return `${Math.floor(whole / 86400)} days`;
}

/** @param {number} seconds */
function stopwatch(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

export const now = () => Date.now() + offset;

/** @param {HTMLElement} element */
function drawOne(element) {
  const at = Date.parse(element.getAttribute("datetime") ?? "");
  if (Number.isNaN(at)) return;
  const form = element.dataset.form ?? "at";
  const zone = zoneOf(element);
  const away = (at - now()) / 1000;
  const year = new Date(at).getUTCFullYear() !== new Date(now()).getUTCFullYear();
  const whole = format(zone, year ? "year" : "at").format(at);
  let text = whole;
  if (form === "rel") text = away > 0 ? `in ${span(away)}` : `${span(away)} ago`;
  else if (form === "age") text = stopwatch(-away);
  else if (form === "ms") text = format(zone, "ms").format(at);
  if (element.textContent !== text) element.textContent = text;
  if (form !== "at" && element.title !== whole) element.title = whole;
}

/** @param {ParentNode} root */
export function draw(root) {
  for (const element of root.querySelectorAll("time[data-form]")) drawOne(/** @type {HTMLElement} */ (element));
}

function tick() {
  if (document.hidden) return;
  for (const element of document.querySelectorAll('time[data-form="rel"], time[data-form="age"]')) drawOne(/** @type {HTMLElement} */ (element));
  const clock = document.getElementById("clock");
  if (clock) clock.textContent = format(chosenZone() === "local" ? undefined : "UTC", "at").format(now());
}

export function start() {
  const clock = document.getElementById("clock");
  const came = /** @type {PerformanceNavigationTiming | undefined} */ (performance.getEntriesByType("navigation")[0])?.responseStart;
  if (clock) offset = Date.parse(clock.getAttribute("datetime") ?? "") - performance.timeOrigin - (came ?? performance.now());
  if (Math.abs(offset) < 3000) offset = 0; // the way of the page, not the clocks
  draw(document);
  tick();
  setInterval(tick, 1000);
  document.addEventListener("visibilitychange", () => document.hidden || draw(document));
}
