// Calls of the control plane: errors as their sentence, CSRF, and whether it answers at all.

import { t, problemText } from "./i18n.js";

/** A refusal: `status` is HTTP's, `code` the control plane's word, the message a sentence. */
export class ApiError extends Error {
  constructor(status, code, message, retryMs = 0) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryMs = retryMs;
  }
}

/** No answer (status 0), one that cannot be read, or a 5xx: asking again may help. */
export class Away extends ApiError {}

const LONGEST_WAIT_MS = 10_000;
const FIRST_FAULT = 500;
let account = null;
const listeners = { signedOut: () => {}, otherAccount: () => {} };

/** Say who is told that this login is over, or that the browser has got another account's. */
export function onState(handlers) {
  Object.assign(listeners, handlers);
}

/** Remember whose page this is, and what every later change must carry. */
export function signedIn(who) {
  account = who;
}

export const get = (path) => call("GET", path);
export const post = (path, body = {}) => call("POST", path, body);
export const patch = (path, body) => call("PATCH", path, body);
export const remove = (path) => call("DELETE", path);

/** The path of a name that may hold anything. */
export const segment = (name) => encodeURIComponent(name);

async function call(method, path, body, again = true) {
  const reply = await answer(method, path, body);
  if (reply.ok && reply.content !== null) return reply.content;
  const error = refusal(reply);
  if (error.code === "bad_csrf" && again && account) {
    await renewLogin(account);
    return call(method, path, body, false);
  }
  if (error.status === 401 && path !== "/v1/login" && path !== "/v1/me") listeners.signedOut();
  throw error;
}

/**
 * Another tab has logged in since. What was asked for is repeated only for whom it was asked by:
 * somebody else's login, or other rights, must not carry out what this page offers.
 */
async function renewLogin(before) {
  const now = await call("GET", "/v1/me");
  if (now.name !== before.name || now.role !== before.role) {
    listeners.otherAccount(now);
    throw new ApiError(403, "other_account", t("other.text", { name: now.name }));
  }
  signedIn(now);
}

async function answer(method, path, body) {
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (method !== "GET" && account) headers["X-CSRF-Token"] = account.csrf;
  try {
    const reply = await fetch(path, {
      method, headers, credentials: "same-origin", cache: "no-store",
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(LONGEST_WAIT_MS),
    });
    const text = await reply.text();
    return { ok: reply.ok, status: reply.status, content: parsed(text), headers: reply.headers };
  } catch {
    throw new Away(0, "away", t("away.none"));
  }
}

function parsed(text) {
  try {
    return text ? JSON.parse(text) : {};
  } catch {
    return null;
  }
}

function refusal({ ok, status, content, headers }) {
  const told = content?.error;
  const retryMs = retryAfterMs(headers.get("Retry-After"));
  const code = told ? told.code : "";
  const message = told ? problemText(code, told.message) : t("away.status", { status });
  const Kind = ok || status >= FIRST_FAULT ? Away : ApiError;
  return new Kind(status, code, message, retryMs);
}

/** The header as HTTP has it: seconds, or a date. */
function retryAfterMs(header) {
  if (!header) return 0;
  const seconds = Number(header);
  const ms = Number.isFinite(seconds) ? 1000 * seconds : Date.parse(header) - Date.now();
  return Math.max(0, ms) || 0;
}
