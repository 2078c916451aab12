// The form that starts a session.

import { get, post } from "./api.js";
import { confirmDialog, formDialog } from "./dialogs.js";
import { button, checkbox, el, field, select } from "./dom.js";
import { t } from "./i18n.js";
import { word } from "./figure_words.js";

/** Ask for devices and playlist, start; the session, or null when the form was left. */
export async function startSession(site, path) {
  const films = await lastPlaylist(path);
  const devices = site.devices.map((device) => ({ id: device.device_id, ...choice(device) }));
  const rows = el("ol", { class: "films", id: "films" });
  for (const film of films) rows.append(filmRow(film, rows));
  const add = button(t("start.add"), () => {
    rows.append(filmRow({}, rows));
    rows.lastElementChild.querySelector("input").focus();
  }, { id: "add-film" });
  const delay = el("input", { type: "number", id: "start-delay", min: 0, max: 86400, step: "any", value: 5, required: true });
  const master = select([["", t("start.elect")], ...devices.map(({ id }) => [id, id])], { id: "pin" });
  const replace = checkbox(t("start.replace"), { id: "replace" });
  const chosen = () => devices.filter(({ box }) => box.checked).map(({ id }) => id);
  return formDialog({
    title: t("start.title"),
    wide: true,
    content: [
      el("fieldset", {}, el("legend", { text: t("start.devices") }),
        el("div", { class: "choices" }, devices.map(({ row }) => row))),
      el("fieldset", {}, el("legend", { text: t("start.playlist") }), rows, add),
      el("div", { class: "fields" }, field(t("start.delay"), delay, t("start.delay_hint")),
        field(t("start.master"), master)),
      replace.row,
    ],
    action: t("start.do"),
    async submit() {
      if (!chosen().length) throw new Error(t("start.nobody"));
      if (!rows.children.length) throw new Error(t("start.nothing"));
      const asked = {
        site: site.site,
        device_ids: chosen(),
        playlist: [...rows.children].map(filmOf),
        start_delay_ms: Math.round(1000 * delay.valueAsNumber),
        replace: replace.box.checked,
        master: master.value || null,
      };
      return asked.replace ? replaceAfterAsking(asked) : post("/v1/sessions", asked);
    },
  });
}

/** What plays on those devices ends: that is asked for as the button Stop does. */
function replaceAfterAsking(asked) {
  return confirmDialog({
    title: t("start.replace_title"), text: t("start.replace_text", { devices: asked.device_ids.join(", ") }),
    action: t("start.replace_do"), submit: () => post("/v1/sessions", asked),
  });
}

function choice(device) {
  const busy = device.session_id ? ` · ${t("start.busy")}` : "";
  const text = `${device.device_id} · ${word("online", device.online)}${busy}`;
  const { box, row } = checkbox(text, { value: device.device_id });
  box.checked = device.online;
  return { box, row };
}

/** The films of the newest session: mostly the same ones are played again. */
async function lastPlaylist(path) {
  try {
    const { sessions } = await get(`${path}/sessions?limit=1`);
    if (sessions.length) return sessions[0].playlist;
  } catch {
    // It only fills the form in: without it the form is empty.
  }
  return [{}];
}

function filmRow({ uri = "", duration_ms: durationMs, fingerprint = "" }, rows) {
  const seconds = durationMs ? durationMs / 1000 : "";
  const row = el("li", { class: "film" },
    el("input", {
      class: "uri", value: uri, required: true, placeholder: "film.mp4",
      "aria-label": t("start.uri"), autocapitalize: "none", spellcheck: "false",
    }),
    el("input", {
      class: "seconds", type: "number", min: 0.001, step: "any", value: seconds, required: true,
      placeholder: "60", "aria-label": t("start.seconds"),
    }),
    el("span", { class: "unit", text: "s", "aria-hidden": "true" }),
    button("×", () => {
      row.remove();
      (rows.querySelector("input") ?? document.getElementById("add-film")).focus();
    }, { class: "quiet", "aria-label": t("start.remove") }));
  row.dataset.uri = uri;
  row.dataset.fingerprint = fingerprint;
  return row;
}

function filmOf(row) {
  const uri = row.querySelector(".uri").value.trim();
  const film = { uri, duration_ms: 1000 * row.querySelector(".seconds").valueAsNumber };
  // A fingerprint is one file's: under another name it would be wrong.
  const known = row.dataset.fingerprint && row.dataset.uri === uri;
  return known ? { ...film, fingerprint: row.dataset.fingerprint } : film;
}
