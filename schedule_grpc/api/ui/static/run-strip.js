// @ts-check
// The last runs of a task as bars: colour and shape say how each ended, the height how long it took.
// A failed bar is notched at the top, what never ran is hollow: colour is never alone.

import { address, call, task } from "./api.js";
import { el, svg } from "./dom.js";
import { span } from "./times.js";

/** @type {Record<string, string>} */
const TONES = { s: "ok", f: "bad", m: "warn", r: "run", p: "wait", k: "idle", c: "idle", u: "idle" };
const [WIDTH, STEP, HEIGHT] = [5, 7, 24];

class RunStrip extends HTMLElement {
  static observedAttributes = ["runs"];
  /** @type {any[] | null} */
  #runs = null;
  #chosen = -1;
  #tip = el("div", { class: "tip", role: "status" });

  connectedCallback() {
    if (!this.hasAttribute("tabindex") && this.getAttribute("runs")) this.tabIndex = 0;
    this.addEventListener("pointermove", (event) => this.#choose(this.#place(event)));
    this.addEventListener("pointerleave", () => this.#choose(-1));
    this.addEventListener("blur", () => this.#choose(-1));
    this.addEventListener("focus", () => this.#choose(this.#count - 1));
    this.addEventListener("click", () => this.#open());
    this.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (way) this.#choose(Math.min(Math.max(this.#chosen + way, 0), this.#count - 1));
      else if (event.key === "Enter") this.#open();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
  }

  disconnectedCallback() {
    this.#tip.remove();
  }

  attributeChangedCallback() {
    const runs = this.getAttribute("runs") ?? "";
    const drawn = svg("svg", { width: 20 * STEP + 2, height: HEIGHT, viewBox: `0 0 ${20 * STEP + 2} ${HEIGHT}`, "aria-hidden": "true" });
    const first = 20 - runs.length / 2;
    for (let place = 0; place < 20; place += 1) {
      const x = place * STEP + 1;
      if (place < first) {
        drawn.append(svg("rect", { class: "idle", x, y: HEIGHT - 2, width: WIDTH, height: 1, opacity: 0.5 }));
        continue;
      }
      const state = runs[(place - first) * 2];
      const tall = state === "f" ? HEIGHT - 2 : 3 + Number(runs[(place - first) * 2 + 1]) * 2;
      const tone = TONES[state] ?? "idle";
      if (state === "k" || state === "m" || state === "c" || state === "p") drawn.append(svg("path", { class: `hollow ${tone}`, d: `M${x + 0.5} ${HEIGHT - 8.5}h${WIDTH - 1}v8h-${WIDTH - 1}z` }));
      else if (state === "f") drawn.append(svg("path", { class: `bar ${tone}`, d: `M${x} ${HEIGHT}v-${tall}l2.5 3 2.5-3v${tall}z` }));
      else drawn.append(svg("rect", { class: tone, x, y: HEIGHT - tall, width: WIDTH, height: tall, rx: 1 }));
    }
    this.replaceChildren(drawn);
    this.#runs = null;
  }

  get #count() {
    return (this.getAttribute("runs") ?? "").length / 2;
  }

  /** @param {PointerEvent} event */
  #place(event) {
    return Math.floor((event.clientX - this.getBoundingClientRect().left) / STEP) - (20 - this.#count);
  }

  /** @param {number} place */
  async #choose(place) {
    if (place === this.#chosen) return;
    this.#chosen = place;
    if (place < 0 || place >= this.#count) {
      this.#tip.remove();
      return;
    }
    const run = await this.#run(place);
    if (!run || this.#chosen !== place) return;
    const started = Date.parse(run.scheduledAt ?? run.createdAt);
    const why = run.reason ?? run.failureKind;
    const parts = [new Date(started).toISOString().slice(0, 16).replace("T", " ") + "Z", run.state.toLowerCase() + (why ? ` ${why}` : "")];
    if (run.startedAt && run.durationMs !== undefined) parts.push(run.durationMs < 1000 ? `${run.durationMs} ms` : span(run.durationMs / 1000));
    if (run.attempt > 1) parts.push(`attempt ${run.attempt}`);
    this.#tip.textContent = parts.join(", ");
    document.body.append(this.#tip);
    const box = this.getBoundingClientRect();
    this.#tip.style.left = `${Math.max(8, Math.min(box.left + scrollX, innerWidth - this.#tip.offsetWidth - 12))}px`;
    this.#tip.style.top = `${box.top + scrollY - this.#tip.offsetHeight - 6}px`;
  }

  /** @param {number} place */
  async #run(place) {
    if (this.#runs === null) {
      const answer = await call("GET", `${task(this.getAttribute("task") ?? "")}/history`, null, { query: { limit: 20 } });
      this.#runs = answer.ok ? answer.data.history : [];
    }
    return this.#runs?.[this.#count - 1 - place];
  }

  async #open() {
    const run = this.#chosen < 0 ? null : await this.#run(this.#chosen);
    if (run) location.href = address(`ui/executions/${encodeURIComponent(run.id)}`);
  }
}

customElements.define("run-strip", RunStrip);
