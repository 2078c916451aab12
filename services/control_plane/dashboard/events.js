// The event log: newest first, with a filter, older ones on demand.

import { get } from "./api.js";
import { button, el, field, keyed, panel, say, select } from "./dom.js";
import { reasonText, t } from "./i18n.js";
import { dateAndTime, word } from "./figure_words.js";

const PAGE = 100;
const GRAVE = new Set(["failover", "fallback", "session_failed", "command_failed", "fault", "device_revoked"]);

export function eventsPanel(path) {
  const { root, body } = panel("events", t("events.title"));
  const kinds = select([["", t("events.all")]], { id: "events-kind" });
  const text = el("input", { type: "search", id: "events-text", autocomplete: "off" });
  const list = el("ol", { class: "events", id: "event-list", tabindex: 0, "aria-labelledby": "events-title" });
  const empty = el("p", { class: "hint", text: t("events.none") });
  const problem = el("p", { class: "problem", role: "alert" });
  const older = button(t("events.older"), loadOlder, { id: "events-older", hidden: true });
  body.append(el("div", { class: "fields" }, field(t("events.kind"), kinds), field(t("events.search"), text)),
    empty, list, problem, older);
  let events = [];
  let ended = false;
  kinds.addEventListener("change", draw);
  text.addEventListener("input", draw);

  async function look() {
    const fresh = (await get(`${path}/events?limit=${PAGE}`)).events;
    const oldestMs = fresh.length ? fresh[fresh.length - 1].at_ms : -Infinity;
    if (!events.length) ended = fresh.length < PAGE;
    events = [...fresh, ...events.filter((event) => event.at_ms < oldestMs)];
    offerKinds();
    draw();
  }

  async function loadOlder() {
    problem.textContent = "";
    const last = events[events.length - 1];
    try {
      const more = (await get(`${path}/events?limit=${PAGE}&before_ms=${last.at_ms}`)).events;
      ended = more.length < PAGE;
      events = [...events, ...more.filter((event) => event.at_ms < last.at_ms)];
    } catch (error) {
      problem.textContent = error.message;
    }
    offerKinds();
    draw();
  }

  function offerKinds() {
    const there = new Set([...kinds.options].map((option) => option.value));
    for (const kind of [...new Set(events.map((event) => event.kind))].sort()) {
      if (!there.has(kind)) kinds.append(el("option", { value: kind, text: word("event", kind) }));
    }
  }

  function draw() {
    const wanted = text.value.trim().toLocaleLowerCase();
    const shown = events.filter((event) => (!kinds.value || event.kind === kinds.value)
      && (!wanted || wordsOf(event).join(" ").toLocaleLowerCase().includes(wanted)));
    empty.hidden = shown.length > 0;
    older.hidden = ended || !events.length;
    keyed(list, numbered(shown), (event) => event.key, create, () => {});
  }

  return { root, look };
}

/** Two events may be alike to the letter: the second of them has another key. */
function numbered(events) {
  const met = new Map();
  return events.map((event) => {
    const same = JSON.stringify(event);
    met.set(same, (met.get(same) ?? 0) + 1);
    return { ...event, key: `${same}${met.get(same)}` };
  });
}

function create(event) {
  const [kind, device, detail, who, session] = wordsOf(event);
  const line = el("li", { class: GRAVE.has(event.kind) ? "grave" : "" },
    el("time", { datetime: new Date(event.at_ms).toISOString(), text: dateAndTime(event.at_ms) }),
    el("strong", { text: kind }),
    el("span", { class: "detail", text: [device, detail, who].filter(Boolean).join(" · ") }),
    el("small", { text: session }));
  line.dataset.kind = event.kind;
  return line;
}

function wordsOf(event) {
  const session = [event.session_id, event.term ? t("session.term", { term: event.term }) : ""];
  return [
    word("event", event.kind),
    event.device_id,
    event.kind === "flags_changed" ? flagsDetail(event.detail) : reasonText(event.detail),
    event.who ? t("events.by", { who: event.who }) : "",
    session.filter(Boolean).join(" · "),
  ];
}

/** The change of flags in words; its detail is JSON. */
export function flagsDetail(detail) {
  try {
    const { values = {}, why = "" } = JSON.parse(detail);
    const changes = Object.entries(values).map(([name, value]) =>
      value === null ? t("flags.removed", { name }) : `${name}=${value}`);
    return [changes.join(", "), why].filter(Boolean).join(" – ");
  } catch {
    return detail;
  }
}
