// @ts-check
// The map of what comes: one stop of the tabulator key, and arrow keys from hour to hour. Enter follows the link.

const cells = () => /** @type {SVGAElement[]} */ ([...document.querySelectorAll("#map .cell")]);
const place = (/** @type {Element} */ cell) => [Number(cell.getAttribute("data-x")), Number(cell.getAttribute("data-y"))];

/** @param {Element | undefined} chosen */
function rove(chosen) {
  for (const cell of cells()) cell.setAttribute("tabindex", cell === chosen ? "0" : "-1");
}

/** The next hour with runs in a direction. @param {SVGAElement} from @param {string} key */
function next(from, key) {
  const all = cells();
  const at = all.indexOf(from);
  if (key === "ArrowLeft" || key === "ArrowRight") return all[at + (key === "ArrowLeft" ? -1 : 1)];
  const [x] = place(from);
  const later = key === "ArrowDown" ? all.slice(at + 1) : all.slice(0, at).reverse();
  return later.find((cell) => place(cell)[0] === x);
}

const begin = () => rove(cells().find((cell) => cell.getAttribute("aria-current")) ?? cells()[0]);

export function start() {
  document.addEventListener("keydown", (event) => {
    const from = /** @type {Element} */ (event.target).closest("#map .cell");
    if (!from || !["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"].includes(event.key)) return;
    event.preventDefault();
    const to = next(/** @type {SVGAElement} */ (from), event.key);
    if (!to) return;
    rove(to);
    to.focus();
  });
  document.addEventListener("patched", () => document.activeElement?.closest("#map .cell") || begin());
  begin();
}
