// @ts-check
// Keys: one letter each, off while the reader writes, and off for good if the reader wants (WCAG 2.1.4).

import { address } from "./api.js";
import { loaded, store, stored, toast } from "./dom.js";
import { pause, refetch } from "./live.js";
import { chooseZone, chosenZone, zones } from "./times.js";

/** @type {Record<string, string>} */
const GO = { n: "", t: "/tasks", e: "/executions", f: "/failures", u: "/upcoming", h: "/handlers", s: "/system" };
let going = 0;

const openPalette = async () => (await loaded(() => import("./palette.js")))?.open();
const help = async () => (await loaded(() => import("./help.js")))?.open();

function theme() {
  const order = ["", "light", "dark"];
  const next = order[(order.indexOf(document.documentElement.dataset.theme ?? "") + 1) % order.length] ?? "";
  if (next) document.documentElement.dataset.theme = next;
  else delete document.documentElement.dataset.theme;
  store("theme", next);
  toast(`Theme: ${next || "as the system"}`);
}

/** @param {number} way */
function step(way) {
  const rows = [...document.querySelectorAll("[data-rows] tbody tr")];
  const here = rows.findIndex((row) => row.classList.contains("here"));
  const next = rows[Math.min(Math.max(here + way, 0), rows.length - 1)];
  rows[here]?.classList.remove("here");
  next?.classList.add("here");
  next?.scrollIntoView({ block: "nearest" });
  /** @type {HTMLElement | null | undefined} */ (next?.querySelector("a"))?.focus({ preventScroll: true });
}

/** @type {Record<string, () => any>} */
const KEYS = {
  "/": openPalette,
  "?": help,
  j: () => step(1),
  k: () => step(-1),
  x: () => /** @type {HTMLElement | null} */ (document.querySelector("tr.here input[data-pick]"))?.click(),
  r: pause,
  t: theme,
  z: () => {
    const next = zones[(zones.indexOf(chosenZone()) + 1) % zones.length] ?? "utc";
    chooseZone(next);
    const choice = /** @type {HTMLSelectElement | null} */ (document.getElementById("zone"));
    if (choice) choice.value = next;
    toast(`Times: ${{ utc: "UTC", local: "the browser's zone", task: "each task's own zone" }[next]}`);
  },
};

export function start() {
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      openPalette();
      return;
    }
    const target = /** @type {HTMLElement} */ (event.target);
    if (event.ctrlKey || event.metaKey || event.altKey || target.closest("input, select, textarea, dialog, .menu")) return;
    if (stored("keys", "") === "off" && event.key !== "?") return;
    if (Date.now() - going < 1500 && event.key in GO) {
      location.href = address(`ui${GO[event.key]}`);
      return;
    }
    going = event.key === "g" ? Date.now() : 0;
    const act = KEYS[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  document.addEventListener("click", (event) => {
    const opened = /** @type {HTMLElement} */ (event.target).closest("[data-open]")?.getAttribute("data-open");
    if (opened) ({ palette: openPalette, help, theme })[opened]?.();
  });
  const zone = /** @type {HTMLSelectElement | null} */ (document.getElementById("zone"));
  if (zone) {
    zone.value = chosenZone();
    zone.addEventListener("change", () => chooseZone(zone.value));
  }
  document.getElementById("namespace")?.addEventListener("change", (event) => {
    const url = new URL(address("ui"));
    url.searchParams.set("namespace", /** @type {HTMLSelectElement} */ (event.target).value);
    location.href = url.href;
  });
  document.getElementById("live")?.addEventListener("click", () => refetch());
}
