// What plays: each running session with its state, its lead, its start and its progress.

import { post, segment } from "./api.js";
import { confirmDialog, formDialog } from "./dialogs.js";
import { button, el, field, keyed, panel, say, select } from "./dom.js";
import { reasonText, t } from "./i18n.js";
import { dateAndTime, length, serverNow, word } from "./figure_words.js";

const FACTS = ["master", "successors", "reason", "start", "playlist", "flags", "by"];
const TICK_MS = 500;
const announcer = document.getElementById("announcer");

export function sessionPanel({ refresh }) {
  const { root, body } = panel("session", t("session.title"));
  const idle = el("p", { class: "hint idle", text: t("session.none") });
  const list = el("div", { class: "sessions" });
  body.append(idle, list);
  let shown = [];
  let said = "";
  const timer = setInterval(() => shown.forEach(({ card, session }) => tick(card, session)), TICK_MS);

  function update({ sessions }) {
    idle.hidden = sessions.length > 0;
    shown = [];
    keyed(list, sessions, (s) => s.session_id, (s) => create(s, refresh, () => shown), (card, s) => {
      fill(card, s);
      shown.push({ card, session: s });
    });
    const news = sessions.map((s) => t("session.said", {
      state: word("state", s.state), master: s.master_device_id, term: s.term,
    })).join(" ") || t("session.none");
    if (news !== said && said) announcer.textContent = news;
    said = news;
  }

  return { root, update, stop: () => clearInterval(timer) };
}

function create(session, refresh, all) {
  const newest = () => all().find((s) => s.session.session_id === session.session_id)?.session;
  const facts = FACTS.map((name) => el("div", {},
    el("dt", { text: t(`session.${name}`) }), el("dd", { "data-fact": name })));
  const bar = el("progress", { max: 1, value: 0 });
  return el("article", { class: "session" },
    el("div", { class: "session-head" }, el("span", { class: "badge state" }),
      el("span", { class: "term" }), el("code", { class: "id", text: session.session_id })),
    el("p", { class: "countdown" }),
    el("label", { class: "progress" }, el("span", {}), bar),
    el("dl", { class: "facts" }, facts),
    el("div", { class: "actions" },
      button(t("master.open"), async () => {
        if (await changeMaster(newest() ?? session)) refresh();
      }, { class: "master" }),
      button(t("stop.open"), async () => {
        if (await stop(session)) refresh();
      }, { class: "danger stop" })));
}

function fill(card, s) {
  const badge = card.querySelector(".state");
  badge.dataset.kind = s.state;
  say(badge, word("state", s.state));
  say(card.querySelector(".term"), t("session.term", { term: s.term }));
  const { done = 0, failed = 0, members = s.members.length } = s.progress ?? {};
  const bar = card.querySelector("progress");
  [bar.max, bar.value] = [Math.max(1, members), done];
  say(card.querySelector(".progress span"), t(failed ? "session.failed" : "session.done",
    { done, members, failed }));
  const flags = Object.entries(s.flags ?? {}).map(([name, value]) => `${name}=${value}`);
  const facts = {
    master: s.pinned ? t("session.pinned", { master: s.master_device_id }) : s.master_device_id,
    successors: (s.successors ?? []).join(", ") || "–",
    reason: reasonText(s.term_reason) || "–",
    start: dateAndTime(s.start_at_ms),
    playlist: s.playlist.map((film) => `${film.uri} (${length(film.duration_ms)})`).join(", "),
    flags: flags.join(" · ") || "–",
    by: s.created_by || "–",
  };
  for (const [name, text] of Object.entries(facts)) {
    say(card.querySelector(`[data-fact=${name}]`), text);
  }
  const over = s.state === "stopping";
  for (const one of card.querySelectorAll(".actions button")) one.disabled = over;
  tick(card, s);
}

function tick(card, s) {
  const leftMs = s.start_at_ms - serverNow();
  const text = s.state === "stopping" ? t("session.stops")
    : leftMs > 0 ? t("session.starts_in", { seconds: Math.ceil(leftMs / 1000) })
      : t("session.since", { time: length(-leftMs) });
  say(card.querySelector(".countdown"), text);
}

function stop(session) {
  return confirmDialog({
    title: t("stop.title"), text: t("stop.text", { devices: session.members.length }),
    action: t("stop.do"), submit: () => post(`/v1/sessions/${segment(session.session_id)}/stop`),
  });
}

function changeMaster(session) {
  const others = session.members.map((member) => member.device_id)
    .filter((id) => id !== session.master_device_id).sort();
  const who = select([["", t("master.next")], ...others.map((id) => [id, id])]);
  return formDialog({
    title: t("master.title"),
    content: [el("p", { text: t("master.text", { master: session.master_device_id }) }),
      field(t("master.who"), who, t("master.hint"))],
    action: t("master.do"),
    submit: () => post(`/v1/sessions/${segment(session.session_id)}/master`,
      who.value ? { device_id: who.value } : {}),
  });
}
