// @ts-check
// The start of every page. All of it reads without these scripts; they bring it to life.

import "./run-strip.js";
import { start as startActions } from "./actions.js";
import { start as startKeys } from "./keys.js";
import { start as startLive } from "./live.js";
import { start as startTimes } from "./times.js";

/** Scripts of single pages, by what they work on: loaded once that is there.
 * @type {Map<string, () => Promise<{start: () => void}>>} */
const others = new Map([
  ["bulk", () => import("./bulk.js")],
  ["task-form", () => import("./edit.js")],
  ["log", () => import("./log.js")],
  ["login-form", () => import("./login.js")],
  ["map", () => import("./map.js")],
]);

function load() {
  for (const [id, script] of others) {
    if (!document.getElementById(id)) continue;
    others.delete(id);
    script().then((loaded) => loaded.start());
  }
}

for (const start of [startTimes, startActions, startKeys, startLive]) start();
load();
document.addEventListener("patched", load); // a list that was empty has rows now
