// Calls of devices before and after the day on which the LAN was switched on. No page in here.

const FLAG = "SYNC_LAN_ENABLED";
const TRUE = new Set(["1", "true", "yes", "on"]);
const DAY_MS = 86_400_000;

/** Whether a switch is on, in any spelling that flags may have. */
export const isOn = (value) => TRUE.has(String(value ?? "").trim().toLowerCase());

/** The UTC day ("2026-11-22") of the first change that switched the LAN on; "" when none did. */
export function lanSince(history) {
  const times = history.filter(({ values }) => isOn(values?.[FLAG])).map((change) => change.at_ms);
  return times.length ? dayOf(Math.min(...times)) : "";
}

export const dayOf = (ms) => new Date(ms).toISOString().slice(0, 10);

/**
 * Mean calls of devices per day before and after the day `since`, null where there is no such
 * day. Calls of people and programs are left out: who looks on must not change the figure. Whole days only: not that day, not today, and none from before the site began to call.
 */
export function beforeAfter(days, since, today) {
  const sorted = [...days].sort((a, b) => a.date.localeCompare(b.date));
  const first = sorted.findIndex((one) => one.device_calls > 0);
  const whole = first < 0 ? [] : sorted.slice(first).filter((one) => one.date < today);
  const before = mean(whole.filter((one) => one.date < since));
  const after = mean(whole.filter((one) => one.date > since));
  const change = before && after !== null ? after / before - 1 : null;
  return { before, after, change };
}

function mean(days) {
  return days.length ? days.reduce((sum, one) => sum + one.device_calls, 0) / days.length : null;
}

/** The last `count` days up to `today`, those that the answer leaves out as days without any. */
export function filled(days, today, count) {
  const byDate = new Map(days.map((one) => [one.date, one]));
  const end = Date.parse(`${today}T00:00:00Z`);
  return Array.from({ length: count }, (_, i) => dayOf(end - (count - 1 - i) * DAY_MS))
    .map((date) => byDate.get(date) ?? { date, invocations: 0, device_calls: 0, invocations_by_hour: [] });
}
