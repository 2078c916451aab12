// Asking again and again, but only while somebody looks at the page.

const LONGEST_PAUSE_MS = 15_000;

/**
 * Run `work` now and every `periodMs` while the page is visible. A failure is asked after less
 * and less often, and not before the server wants it. Returns {now, stop}.
 */
export function every(periodMs, work) {
  let timer = 0;
  let busy = false;
  let wanted = false;
  let failures = 0;
  let stopped = false;

  async function run() {
    clearTimeout(timer);
    if (stopped || document.hidden) return;
    if (busy) {
      wanted = true;
      return;
    }
    busy = true;
    let pauseMs = periodMs;
    try {
      await work();
      failures = 0;
    } catch (error) {
      if (error.status === undefined) console.error(error);
      failures += 1;
      pauseMs = Math.min(periodMs * 2 ** failures, Math.max(LONGEST_PAUSE_MS, periodMs));
      pauseMs = Math.max(pauseMs, error.retryMs || 0);
    } finally {
      busy = false;
    }
    if (wanted && failures === 0) pauseMs = 0;
    wanted = false;
    if (!stopped) timer = setTimeout(run, pauseMs);
  }

  document.addEventListener("visibilitychange", run);
  run();
  return {
    now: run,
    stop() {
      stopped = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", run);
    },
  };
}
