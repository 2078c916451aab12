// Every word of the page, in English and Spanish, and which of the two is shown.

import { en } from "./words_en.js";
import { es } from "./words_es.js";

export const LANGUAGES = { en, es };
const KEPT = "unisono.language";
let chosen = kept() ?? (navigator.language.toLowerCase().startsWith("es") ? "es" : "en");

function kept() {
  try {
    const found = localStorage.getItem(KEPT);
    return found in LANGUAGES ? found : null;
  } catch {
    return null; // storage may be forbidden; then the browser's language is as good
  }
}

export const language = () => chosen;
export const otherLanguage = () => (chosen === "en" ? "es" : "en");

export function setLanguage(name) {
  chosen = name;
  try {
    localStorage.setItem(KEPT, name);
  } catch {
    // It holds until the page is left.
  }
}

export const has = (key) => key in LANGUAGES[chosen];

/** The words for a key, with {name} replaced by a value. */
export function t(key, values = {}) {
  const words = LANGUAGES[chosen][key] ?? key;
  return words.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** A refusal of the API. Its own sentence is English; those that tell all by their code are translated. */
export function problemText(code, message) {
  const key = `problem.${code}`;
  return chosen !== "en" && has(key) ? t(key) : message;
}

/** With a full stop, so that another sentence may follow: those of the API have none. */
export const sentence = (text) => (/[.!?…]$/.test(text) ? text : `${text}.`);

// What the control plane says in sentences of its own, by the shape of the sentence.
const SENTENCES = [
  [/^created$/, "reason.created"],
  [/^changed by an operator$/, "reason.changed"],
  [/^(?<device>\S+) was silent$/, "reason.silent"],
  [/^(?<device>\S+) was restarted$/, "reason.restarted"],
  [/^most others did not hear (?<device>\S+) on the LAN$/, "reason.unheard"],
  [/^(?<device>\S+) held a newer term$/, "reason.newer"],
  [/^(?<device>\S+) was revoked$/, "reason.revoked"],
  [/^stopped by an operator$/, "reason.stopped"],
  [/^replaced by (?<session>\S+)$/, "reason.replaced"],
  [/^no device took it up within (?<seconds>\d+) s of its start$/, "reason.nobody"],
  [/^every device refused it$/, "reason.refused"],
  [/^(?<from>cloud|lan|holdover|stopped) to (?<to>cloud|lan|holdover|stopped)$/, "reason.mode"],
  [/^master$/, "role.master"],
  [/^follower$/, "role.follower"],
];

/** Why a term began, or what an event says of itself. */
export function reasonText(sentence) {
  for (const [shape, key] of SENTENCES) {
    const found = shape.exec(sentence);
    if (!found) continue;
    const { from, to, ...others } = found.groups ?? {};
    return t(key, from ? { from: t(`mode.${from}`), to: t(`mode.${to}`) } : others);
  }
  return sentence;
}
