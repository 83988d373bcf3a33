// @ts-check
// The log of an execution: a filter over its lines, and following its end until the reader scrolls up.

const input = (/** @type {string} */ name) => /** @type {HTMLInputElement | null} */ (document.querySelector(`[data-log="${name}"]`));
const LEVELS = ["debug", "info", "warning", "error"];

function sift() {
  const list = document.getElementById("log-lines");
  if (!list) return;
  const least = LEVELS.indexOf(input("level")?.value ?? "");
  const sought = (input("find")?.value ?? "").toLowerCase();
  for (const line of /** @type {Iterable<HTMLElement>} */ (/** @type {unknown} */ (list.children))) {
    const fits = LEVELS.indexOf(line.dataset.level ?? "") >= least && (!sought || (line.textContent ?? "").toLowerCase().includes(sought));
    line.hidden = !fits;
  }
  if (input("follow")?.checked) list.scrollTop = list.scrollHeight;
}

export function start() {
  if (!document.getElementById("log")) return;
  for (const name of ["level", "find", "follow"]) input(name)?.addEventListener("input", sift);
  document.addEventListener("patched", sift);
  document.getElementById("log")?.addEventListener("wheel", (event) => {
    const follow = input("follow");
    if (event.deltaY < 0 && follow) follow.checked = false;
  }, { passive: true });
  sift();
}
