// One site: its panels, and how often each asks.

import { get, segment } from "./api.js";
import { driftPanel } from "./chart.js";
import { devicesPanel } from "./devices.js";
import { button, el, say } from "./dom.js";
import { enrolDevices } from "./enrol.js";
import { eventsPanel } from "./events.js";
import { number, setServerTime } from "./figure_words.js";
import { figuresPanel } from "./figures.js";
import { flagsPanel } from "./flags.js";
import { t } from "./i18n.js";
import { every } from "./poll.js";
import { sessionPanel } from "./session.js";
import { startSession } from "./start.js";

// Each call of this page is an invocation too. One tells nearly all, the newest drift with it; the
// others are asked when that one shows a change, and rarely beside.
const PLAYING_MS = 2000;
const HASTE_MS = 1000; // while a session starts or stops
const IDLE_MS = 10_000;
const DRIFT_MS = 30_000; // fills in what was told between two looks
const EVENTS_MS = 30_000;
const FIGURES_MS = 300_000;
const SELDOM_MS = 600_000;
const CHANGING = new Set(["preparing", "warmup", "stopping"]);

export function siteView(main, site, account, refused) {
  const path = `/v1/sites/${segment(site)}`;
  let newest = null;
  let signature = "";
  let played = true; // at first all of the drift is asked for anyhow
  const refresh = () => {
    polls.site.now();
    polls.events.now();
  };
  const tiles = tilesOf();
  const session = sessionPanel({ refresh });
  const drift = driftPanel(path);
  const devices = devicesPanel(site, account, refresh);
  const figures = figuresPanel(path);
  const events = eventsPanel(path);
  const flags = flagsPanel(path, () => {
    refresh();
    polls.flags.now();
  });
  const start = button(t("start.open"), async () => {
    if (await startSession(newest, path)) refresh();
  }, { class: "primary", id: "start", disabled: true });
  const enrol = account.role === "admin"
    ? button(t("enrol.open"), () => enrolDevices(site), { id: "enrol" }) : null;

  main.replaceChildren(
    el("div", { class: "page-head" }, el("h1", { text: site }),
      el("div", { class: "tools" }, enrol, start)),
    tiles.root,
    el("div", { class: "grid" }, session.root, drift.root, devices.root, figures.root,
      events.root, flags.root),
  );

  /** Look at the site; how long that lasts, ms. */
  async function look() {
    newest = await get(path);
    setServerTime(newest.server_time_ms);
    start.disabled = false; // now it is known with what
    tiles.update(newest);
    session.update(newest);
    devices.update(newest);
    drift.watch(newest);
    flags.know(newest.devices.map((device) => device.device_id));
    askWhatChanged();
    const states = newest.sessions.map((s) => s.state);
    if (states.some((state) => CHANGING.has(state))) return HASTE_MS;
    return states.length ? PLAYING_MS : IDLE_MS;
  }

  function askWhatChanged() {
    const { sessions, counters, flags_version: version } = newest;
    const now = JSON.stringify([sessions.map((s) => [s.session_id, s.state, s.term]),
      newest.devices.map((device) => device.device_id), counters.failovers, counters.fallbacks, version]);
    if (signature && signature !== now) polls.events.now();
    signature = now;
    if (flags.isBehind(version)) polls.flags.now();
    if (sessions.length && !played) polls.drift.now();
    played = sessions.length > 0;
  }

  const polls = {
    site: every(IDLE_MS, look, refused),
    drift: every(DRIFT_MS, async () => {
      await drift.look();
      return newest && !newest.sessions.length ? SELDOM_MS : DRIFT_MS;
    }, refused),
    events: every(EVENTS_MS, async () => {
      await events.look();
      return newest && !newest.sessions.length ? 2 * EVENTS_MS : EVENTS_MS;
    }, refused),
    figures: every(FIGURES_MS, figures.look, refused),
    flags: every(SELDOM_MS, async () => figures.since(await flags.look()), refused),
  };
  return {
    stop() {
      Object.values(polls).forEach((poll) => poll.stop());
      session.stop();
      drift.stop();
      figures.stop();
    },
  };
}

function tilesOf() {
  const names = ["online", "failovers", "fallbacks", "today", "yesterday"];
  const tiles = names.map((name) => [name, el("dd", { text: "–" }), el("dd", { class: "hint" })]);
  const root = el("dl", { class: "tiles", id: "tiles" }, tiles.map(([name, value, small]) =>
    el("div", { class: "tile" }, el("dt", { text: t(`tile.${name}`) }), value, small)));
  const values = Object.fromEntries(tiles.map(([name, value]) => [name, value]));
  const smalls = Object.fromEntries(tiles.map(([name, , small]) => [name, small]));
  return {
    root,
    update({ devices, counters }) {
      const online = devices.filter((device) => device.online).length;
      say(values.online, t("tile.of", { some: online, all: devices.length }));
      values.online.classList.toggle("bad", online < devices.length);
      say(values.failovers, number(counters.failovers));
      say(values.fallbacks, number(counters.fallbacks));
      for (const which of ["today", "yesterday"]) {
        say(values[which], number(counters[`invocations_${which}`]));
        say(smalls[which], t("tile.by_devices", { count: number(counters[`device_calls_${which}`]) }));
      }
    },
  };
}
