// Asking again and again, but only while somebody looks at the page.

import { sentence, t } from "./i18n.js";
import { noProblem, problem } from "./problems.js";

const FIRST_WAIT_MS = 2000;
const LONGEST_WAIT_MS = 15_000;
const REFUSED = new Set([403, 404]); // for good: asking again would not help
let quietUntilMs = 0; // what the server asked of one, all keep to

/** How long to wait after so many failures in a row, ms. */
export const backOffMs = (failures) => Math.min(FIRST_WAIT_MS * 2 ** (failures - 1), LONGEST_WAIT_MS);

/** Nobody asks before that many ms have passed. */
export function beQuiet(ms) {
  quietUntilMs = Math.max(quietUntilMs, Date.now() + ms);
}

/**
 * Run `work` now and again while the page is visible: after as many ms as it returned, else after
 * `periodMs`. A failure is a problem that people see, and is tried again less and less often, and
 * not before the server wants it; but `refused` is told of an error 403 or 404, and that is the
 * end. Returns {now, stop}.
 */
export function every(periodMs, work, refused) {
  const who = Symbol("poll");
  let timer = 0;
  let busy = false;
  let wanted = false;
  let failures = 0;
  let notBeforeMs = 0;
  let lastMs = null;
  let stopped = false;

  function plan(pauseMs) {
    clearTimeout(timer);
    const waitMs = Math.max(pauseMs, notBeforeMs - Date.now(), quietUntilMs - Date.now());
    if (!stopped) timer = setTimeout(run, waitMs);
  }

  function now() {
    if (busy) wanted = true;
    else plan(0);
  }

  async function run() {
    if (stopped || busy || document.hidden) return;
    if (Date.now() < quietUntilMs) {
      plan(0);
      return;
    }
    busy = true;
    try {
      const pauseMs = await work();
      succeeded(pauseMs ?? periodMs);
    } catch (error) {
      if (!stopped) failed(error);
    } finally {
      busy = false;
    }
  }

  function succeeded(pauseMs) {
    failures = notBeforeMs = 0;
    lastMs = Date.now();
    noProblem(who);
    plan(wanted ? 0 : pauseMs);
    wanted = false;
  }

  function failed(error) {
    wanted = false;
    if (REFUSED.has(error.status)) {
      stop();
      refused(error);
      return;
    }
    const ours = error.status === undefined; // a fault of this page
    if (ours) console.error(error);
    failures += 1;
    notBeforeMs = Date.now() + backOffMs(failures);
    if (error.retryMs) beQuiet(error.retryMs);
    problem(who, `${sentence(ours ? t("page.fault") : error.message)} ${t("away.again")}`, lastMs);
    plan(0);
  }

  function stop() {
    stopped = true;
    clearTimeout(timer);
    noProblem(who);
    document.removeEventListener("visibilitychange", now);
  }

  document.addEventListener("visibilitychange", now);
  run();
  return { now, stop };
}
