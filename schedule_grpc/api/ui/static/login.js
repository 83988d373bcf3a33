// @ts-check
// The page that asks for a key: it is sent once, and kept nowhere.

import { el } from "./dom.js";

export function start() {
  const form = /** @type {HTMLFormElement | null} */ (document.getElementById("login-form"));
  if (!form) return;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const error = form.querySelector(".error") ?? el("p");
    const body = JSON.stringify({ key: String(new FormData(form).get("key") ?? "").trim() });
    /** @type {Response | null} */
    let answer = null;
    try {
      answer = await fetch(form.dataset.login ?? "", { method: "POST", headers: { "content-type": "application/json" }, body, credentials: "same-origin" });
    } catch { /* said below */ }
    if (answer?.ok) {
      form.reset();
      location.href = form.dataset.back ?? "./";
      return;
    }
    const told = answer ? (await answer.json().catch(() => ({}))).error : "";
    error.textContent = answer?.status === 401 ? "This key is not accepted" : told || "The server cannot be reached";
    /** @type {HTMLElement} */ (error).hidden = false;
  });
  // Until here the browser itself would send the form, and the key with it into the address.
  for (const button of form.querySelectorAll("button")) button.disabled = false;
}
