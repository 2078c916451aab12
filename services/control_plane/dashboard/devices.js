// The devices of a site: a table on a wide screen, cards on a narrow one.

import { button, el, keyed, panel, say } from "./dom.js";
import { revokeDevice, rotateSecret } from "./enrol.js";
import { t } from "./i18n.js";
import { ago, driftMs, word } from "./figure_words.js";

const COLUMNS = ["device", "role", "player", "drift", "clock", "address", "version", "ack"];
const IN_UNISON_MS = 50;

export function devicesPanel(site, account, refresh) {
  const { root, body } = panel("devices", t("devices.title"));
  const admin = account.role === "admin";
  const columns = admin ? [...COLUMNS, "actions"] : COLUMNS;
  const head = el("tr", { role: "row" }, columns.map((name) =>
    el("th", { scope: "col", role: "columnheader", text: t(`devices.${name}`) })));
  const rows = el("tbody", { role: "rowgroup" });
  const empty = el("p", { class: "hint", text: t("devices.none"), hidden: true });
  // The roles are said again: shown as cards the browser would forget that this is a table.
  body.append(empty, el("table", { class: "devices", role: "table", "aria-labelledby": "devices-title" },
    el("thead", { role: "rowgroup" }, head), rows));

  function create(device) {
    const cells = COLUMNS.map((name) => el(name === "device" ? "th" : "td", {
      role: name === "device" ? "rowheader" : "cell", scope: name === "device" ? "row" : null,
      "data-cell": name, "data-label": t(`devices.${name}`),
    }, el("span", { class: "main" }), el("small", {})));
    if (admin) cells.push(actions(device.device_id));
    return el("tr", { role: "row" }, cells);
  }

  function actions(id) {
    const act = (ask) => async () => {
      if (await ask(site, id)) refresh();
    };
    return el("td", { role: "cell", class: "row-actions" },
      button(t("rotate.open"), act(rotateSecret), { "aria-label": `${t("rotate.open")} ${id}` }),
      button(t("revoke.open"), act(revokeDevice), { "aria-label": `${t("revoke.open")} ${id}` }));
  }

  return {
    root,
    update({ devices, flags_version: flagsVersion }) {
      empty.hidden = devices.length > 0;
      body.querySelector("table").hidden = !devices.length;
      keyed(rows, devices, (device) => device.device_id, create, (row, device) => {
        row.classList.toggle("offline", !device.online);
        for (const [name, [main, small, kind]] of Object.entries(cellsOf(device, flagsVersion))) {
          const cell = row.querySelector(`[data-cell=${name}]`);
          say(cell.firstChild, main);
          say(cell.lastChild, small);
          cell.dataset.kind = kind ?? "";
        }
      });
    },
  };
}

/** Each column's text, the smaller text below it, and what it means ("good", "bad", …). */
function cellsOf(device, flagsVersion) {
  const beat = device.heartbeat ?? {};
  const status = device.status ?? {};
  const drift = status.drift_ms ?? {};
  const mode = device.online ? status.mode || beat.mode || "" : ""; // of a silent one nobody knows
  const hasDrift = device.online && device.session_id && drift.mean !== null && drift.mean !== undefined;
  const fault = status.fault ? ` · ${status.fault}` : "";
  const behind = device.online && beat.flags_version !== undefined && beat.flags_version < flagsVersion;
  const ack = device.last_ack;
  return {
    device: [device.device_id, `${word("online", device.online)} · ${ago(device.seen_ms)}`,
      device.online ? "good" : "bad"],
    role: [word("role", device.role || "none"), mode ? word("mode", mode) : "", mode],
    player: [word("player", status.player_state || beat.player || "unknown") + fault,
      beat.player_version || "", status.fault ? "bad" : ""],
    drift: [hasDrift ? driftMs(drift.mean) : "–",
      hasDrift ? t("devices.largest", { drift: driftMs(drift.max, false) }) : "",
      hasDrift ? (drift.max <= IN_UNISON_MS ? "good" : "bad") : ""],
    clock: [word("clock", String(beat.clock_healthy ?? null)),
      typeof beat.clock_error_ms === "number" ? `± ${driftMs(beat.clock_error_ms, false)}` : "",
      beat.clock_healthy === false ? "bad" : ""],
    address: [beat.address || "–", beat.wired === true ? t("devices.wired")
      : beat.wired === false ? t("devices.wireless") : ""],
    version: [beat.version || "–",
      t("devices.flags", { version: beat.flags_version ?? "–" }) + (behind ? ` < ${flagsVersion}` : "")],
    ack: ack ? [word("outcome", ack.outcome), `${ack.detail ? `${ack.detail} · ` : ""}${ago(ack.at_ms)}`,
      ack.outcome === "failed" ? "bad" : ""] : ["–", ""],
  };
}
