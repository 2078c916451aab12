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

/** No answer, or one of a proxy whose control plane is away; asking again may help. */
export class Away extends ApiError {}

const LONGEST_WAIT_MS = 10_000;
let csrf = "";
const listeners = { away: () => {}, back: () => {}, signedOut: () => {} };

/** Say who is told that the control plane is away, is back, or has forgotten this login. */
export function onState(handlers) {
  Object.assign(listeners, handlers);
}

/** Remember what every later change must carry. */
export function signedIn(account) {
  csrf = account.csrf;
}

export const get = (path) => call("GET", path);
export const post = (path, body = {}) => call("POST", path, body);
export const patch = (path, body) => call("PATCH", path, body);
export const remove = (path) => call("DELETE", path);

/** The path of a name that may hold anything. */
export const segment = (name) => encodeURIComponent(name);

async function call(method, path, body, again = true) {
  const reply = await answer(method, path, body);
  if (reply.ok) {
    listeners.back();
    return reply.content;
  }
  const error = refusal(reply);
  if (error instanceof Away) listeners.away(error.message);
  else listeners.back();
  if (error.code === "bad_csrf" && again) {
    signedIn(await call("GET", "/v1/me"));  // another tab has logged in since
    return call(method, path, body, false);
  }
  if (error.status === 401 && path !== "/v1/login" && path !== "/v1/me") listeners.signedOut();
  throw error;
}

async function answer(method, path, body) {
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (method !== "GET") headers["X-CSRF-Token"] = csrf;
  try {
    const reply = await fetch(path, {
      method, headers, credentials: "same-origin", cache: "no-store",
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(LONGEST_WAIT_MS),
    });
    const text = await reply.text();
    return { ok: reply.ok, status: reply.status, content: parsed(text), headers: reply.headers };
  } catch {
    const error = new Away(0, "away", t("away.none"));
    listeners.away(error.message);
    throw error;
  }
}

function parsed(text) {
  try {
    return text ? JSON.parse(text) : {};
  } catch {
    return null;
  }
}

function refusal({ status, content, headers }) {
  const told = content && content.error;
  const retryMs = 1000 * Number(headers.get("Retry-After") || 0);
  const code = told ? told.code : "";
  const message = told ? problemText(code, told.message) : t("away.status", { status });
  const away = status === 0 || (status >= 500 && (!told || code === "store_unavailable"));
  return away ? new Away(status, code, message, retryMs) : new ApiError(status, code, message, retryMs);
}
