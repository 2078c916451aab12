// Figures and times as people of the chosen language write them.

import { language, t, has } from "./i18n.js";

/** How far the server's clock is ahead of this browser's, ms. */
let aheadMs = 0;

export function setServerTime(serverMs) {
  aheadMs = serverMs - Date.now();
}

export const serverNow = () => Date.now() + aheadMs;

export function number(value, digits = 0, signed = false) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  return new Intl.NumberFormat(language(), {
    minimumFractionDigits: digits, maximumFractionDigits: digits,
    signDisplay: signed ? "exceptZero" : "auto",
  }).format(value);
}

/** A drift in ms, as exact as its size deserves. */
export function driftMs(value, signed = true) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  return `${number(value, size < 10 ? 2 : size < 100 ? 1 : 0, signed)} ms`;
}

export function clock(ms) {
  return new Date(ms).toLocaleTimeString(language(), { hourCycle: "h23" }); // 00 at midnight, never 24
}

export function dateAndTime(ms) {
  return new Date(ms).toLocaleString(language(), {
    dateStyle: "short", timeStyle: "medium", hourCycle: "h23",
  });
}

/** A day of the KPIs, which are counted by UTC days: "2026-11-22". */
export function day(date, style = { day: "numeric", month: "short" }) {
  return new Date(`${date}T00:00:00Z`).toLocaleDateString(language(), { ...style, timeZone: "UTC" });
}

/** How long ago, in one unit. */
export function ago(ms) {
  if (ms === null || ms === undefined) return t("time.never");
  const seconds = Math.max(0, (serverNow() - ms) / 1000);
  if (seconds < 2) return t("time.now");
  const [unit, size] = seconds < 90 ? ["second", 1] : seconds < 5400 ? ["minute", 60]
    : seconds < 129_600 ? ["hour", 3600] : ["day", 86_400];
  return new Intl.RelativeTimeFormat(language(), { numeric: "always", style: "short" })
    .format(-Math.round(seconds / size), unit);
}

/** A length of time: 1:02:03 or 2:03. */
export function length(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const parts = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60), seconds % 60];
  if (!parts[0]) parts.shift();
  return parts.map((part, i) => (i ? String(part).padStart(2, "0") : part)).join(":");
}

/** The word for a value of the API, or the value itself where there is none. */
export function word(kind, value) {
  const key = `${kind}.${value}`;
  return has(key) ? t(key) : String(value || "–");
}
