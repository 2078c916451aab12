// One site: its panels, and how often each asks.

import { get, segment } from "./api.js";
import { driftPanel } from "./chart.js";
import { devicesPanel } from "./devices.js";
import { button, el, say } from "./dom.js";
import { enrolDevices } from "./enrol.js";
import { eventsPanel } from "./events.js";
import { figuresPanel } from "./figures.js";
import { flagsPanel } from "./flags.js";
import { t } from "./i18n.js";
import { every } from "./poll.js";
import { sessionPanel } from "./session.js";
import { startSession } from "./start.js";
import { number, setServerTime } from "./figure_words.js";

// Each call of this page is an invocation too: what changes slowly is asked for rarely.
const SITE_MS = 3000;
const HASTE_MS = 1000; // while a session starts or stops
const DRIFT_MS = 2000;
const EVENTS_MS = 6000;
const FIGURES_MS = 60_000;
const FLAGS_MS = 60_000;
const CHANGING = new Set(["preparing", "warmup", "stopping"]);

export function siteView(main, site, account) {
  const path = `/v1/sites/${segment(site)}`;
  let newest = null;
  let signature = "";
  const act = { refresh: () => polls.forEach((poll) => poll.now()) };
  const tiles = tilesOf();
  const session = sessionPanel({ refresh: act.refresh });
  const drift = driftPanel(path);
  const devices = devicesPanel(site, account, act.refresh);
  const figures = figuresPanel(path);
  const events = eventsPanel(path);
  const flags = flagsPanel(path, act.refresh);
  const start = button(t("start.open"), async () => {
    if (newest && await startSession(newest, path)) act.refresh();
  }, { class: "primary", id: "start" });
  const enrol = account.role === "admin"
    ? button(t("enrol.open"), () => enrolDevices(site), { id: "enrol" }) : null;

  main.replaceChildren(
    el("div", { class: "page-head" }, el("h1", { text: site }),
      el("div", { class: "tools" }, enrol, start)),
    tiles.root,
    el("div", { class: "grid" }, session.root, drift.root, devices.root, figures.root,
      events.root, flags.root),
  );

  async function look() {
    newest = await get(path);
    setServerTime(newest.server_time_ms);
    tiles.update(newest);
    session.update(newest);
    devices.update(newest);
    drift.watch(newest);
    flags.know(newest.devices.map((device) => device.device_id));
    // What an event would tell is there: do not wait for the next time.
    const now = newest.sessions.map((s) => `${s.session_id} ${s.state} ${s.term}`).join();
    if (signature !== now) {
      signature = now;
      polls[2]?.now();
    }
    if (newest.sessions.some((s) => CHANGING.has(s.state))) setTimeout(() => polls[0]?.now(), HASTE_MS);
  }

  const polls = [];
  polls.push(every(SITE_MS, look), every(DRIFT_MS, drift.look), every(EVENTS_MS, events.look),
    every(FIGURES_MS, figures.look), every(FLAGS_MS, async () => figures.since(await flags.look())));
  return {
    stop() {
      polls.forEach((poll) => poll.stop());
      session.stop();
      drift.stop();
      figures.stop();
    },
  };
}

function tilesOf() {
  const names = ["online", "failovers", "fallbacks", "today", "yesterday"];
  const values = Object.fromEntries(names.map((name) => [name, el("dd", { text: "–" })]));
  const root = el("dl", { class: "tiles", id: "tiles" }, names.map((name) =>
    el("div", { class: "tile" }, el("dt", { text: t(`tile.${name}`) }), values[name])));
  return {
    root,
    update({ devices, counters }) {
      const online = devices.filter((device) => device.online).length;
      say(values.online, t("tile.of", { some: online, all: devices.length }));
      values.online.classList.toggle("bad", online < devices.length);
      say(values.failovers, number(counters.failovers));
      say(values.fallbacks, number(counters.fallbacks));
      say(values.today, number(counters.invocations_today));
      say(values.yesterday, number(counters.invocations_yesterday));
    },
  };
}
