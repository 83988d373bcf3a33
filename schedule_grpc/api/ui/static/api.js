// @ts-check
// The routes of JSON, which every change goes through, and the addresses of pages.

/** @typedef {{ok: boolean, status: number, data: any, error: string, details: {field: string, reason: string}[]}} Answered */

const settings = () => document.documentElement.dataset;

/** The address of a route or page from the root of the server. @param {string} path @param {Record<string, any>} [query] */
export function address(path, query = {}) {
  const url = new URL((settings().root ?? "./") + path, location.href);
  for (const [name, value] of Object.entries(query)) if (value !== "" && value !== null) url.searchParams.set(name, value);
  if (settings().namespace) url.searchParams.set("namespace", settings().namespace ?? "");
  return url.href;
}

/** Call a route. A body is an object, or a text that is JSON already.
 * @param {string} method @param {string} path @param {object | string | null} [body]
 * @param {{query?: Record<string, any>, headers?: Record<string, string>}} [more] @returns {Promise<Answered>} */
export async function call(method, path, body = null, more = {}) {
  /** @type {RequestInit} */
  const request = { method, headers: { ...more.headers }, credentials: "same-origin" };
  if (body !== null) {
    request.headers = { ...request.headers, "content-type": "application/json" };
    request.body = typeof body === "string" ? body : JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(address(path, more.query), request);
  } catch {
    return { ok: false, status: 0, data: {}, error: "The server cannot be reached", details: [] };
  }
  let data = {};
  try {
    data = await response.json();
  } catch { /* the status says enough */ }
  const { error = "", details = [], errorId = "" } = /** @type {any} */ (data);
  const told = error + (errorId ? ` (error id ${errorId})` : "");
  const reasons = Array.isArray(details) ? details : [];
  return { ok: response.ok, status: response.status, data, error: response.ok ? "" : told || response.statusText, details: reasons };
}

/** A task's part of a path. @param {string} name */
export const task = (name) => `tasks/${encodeURIComponent(name)}`;
/** @param {string} id */
export const execution = (id) => `executions/${encodeURIComponent(id)}`;
