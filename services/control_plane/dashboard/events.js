// The event log: newest first, with a filter; as many as were asked for by hand are kept.

import { get } from "./api.js";
import { button, el, field, keyed, panel, say, select } from "./dom.js";
import { reasonText, sentence, t } from "./i18n.js";
import { dateAndTime, word } from "./figure_words.js";

const PAGE = 100;
const MOST = 1000; // of one answer
const GRAVE = new Set(["failover", "fallback", "session_failed", "command_failed", "fault", "device_revoked"]);

export function eventsPanel(path) {
  const { root, body } = panel("events", t("events.title"));
  const kinds = select([["", t("events.all")]], { id: "events-kind" });
  const text = el("input", { type: "search", id: "events-text", autocomplete: "off" });
  const list = el("ol", { class: "events", id: "event-list", tabindex: 0, "aria-labelledby": "events-title" });
  const empty = el("p", { class: "hint", text: t("events.none") });
  const problem = el("p", { class: "problem", role: "alert" });
  const older = button(t("events.older"), () => inTurn(loadOlder), { id: "events-older", hidden: true });
  body.append(el("div", { class: "fields" }, field(t("events.kind"), kinds), field(t("events.search"), text)),
    empty, list, problem, older);
  let events = [];
  let next = null; // the cursor behind the last one shown; null where that is the log's end
  let cut = false; // some were let go at the end: the cursor leads past them
  let pages = 1; // as many as were asked for by hand
  let turn = Promise.resolve();
  kinds.addEventListener("change", draw);
  text.addEventListener("input", draw);

  /** One after the other: an answer must not be laid over a newer one. */
  function inTurn(work) {
    const done = turn.then(work);
    turn = done.catch(() => {});
    return done;
  }

  async function look() {
    const fresh = await page(PAGE);
    const known = pages === 1 || fresh.next === null ? null : behind(fresh.events, events);
    if (known === null) [events, next, cut, pages] = [fresh.events, fresh.next, false, 1];
    else {
      events = [...fresh.events, ...known];
      if (events.length > PAGE * pages) [events, cut] = [events.slice(0, PAGE * pages), true];
    }
    offerKinds();
    draw();
  }

  async function loadOlder() {
    problem.textContent = "";
    try {
      pages += 1;
      let [all, at] = cut ? [[], null] : [events, next];
      do {
        const more = await page(Math.min(MOST, PAGE * pages - all.length), at);
        [all, at] = [[...all, ...more.events], more.next];
      } while (at !== null && all.length < PAGE * pages);
      [events, next, cut] = [all, at, false];
    } catch (error) {
      pages -= 1;
      problem.textContent = sentence(error.message);
    }
    offerKinds();
    draw();
  }

  async function page(limit, before = null) {
    const from = before === null ? "" : `&before=${encodeURIComponent(before)}`;
    const found = await get(`${path}/events?limit=${limit}${from}`);
    return { events: found.events, next: found.next ?? null };
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
    older.hidden = next === null && !cut;
    keyed(list, numbered(shown), (event) => event.key, create, () => {});
  }

  return { root, look: () => inTurn(look) };
}

/**
 * Those of the events `known` that lie behind the newest page `fresh`; null when the two do not
 * meet, so that some between them are unknown. In the millisecond in which the page ends it may
 * lack some; what it has of that one is not given again.
 */
export function behind(fresh, known) {
  const endMs = fresh[fresh.length - 1].at_ms;
  if (!known.length || known[0].at_ms < endMs) return null;
  const met = new Map();
  for (const event of fresh) {
    if (event.at_ms === endMs) met.set(JSON.stringify(event), (met.get(JSON.stringify(event)) ?? 0) + 1);
  }
  return known.filter((event) => {
    if (event.at_ms !== endMs) return event.at_ms < endMs;
    const left = met.get(JSON.stringify(event)) ?? 0;
    met.set(JSON.stringify(event), left - 1);
    return left <= 0;
  });
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
