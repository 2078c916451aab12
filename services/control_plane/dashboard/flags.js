// The flags of a site: what is set, for whom, by whom and why; and the form that changes them.

import { get, patch } from "./api.js";
import { formDialog } from "./dialogs.js";
import { button, el, field, keyed, panel, say, select } from "./dom.js";
import { flagsDetail } from "./events.js";
import { t } from "./i18n.js";
import { dateAndTime } from "./figure_words.js";

export function flagsPanel(path, refresh) {
  const set = el("ul", { class: "flag-list", id: "flags-set" });
  const none = el("p", { class: "hint", text: t("flags.none") });
  const history = el("ol", { class: "events", id: "flags-history" });
  const open = button(t("flags.open"), change, { id: "flags-open" });
  const { root, body } = panel("flags", t("flags.title"), open);
  const version = el("p", { class: "hint" });
  body.append(version, none, set, el("details", {}, el("summary", { text: t("flags.history") }), history));
  let flags = { version: 0, site: {}, devices: {}, history: [] };
  let deviceIds = [];
  let table = null;

  async function change() {
    table ??= await get("/dashboard/flags.json").catch(() => null);
    if (table && await changeFlags(path, table, deviceIds, flags)) refresh();
  }

  function draw() {
    const lines = [["", flags.site], ...Object.entries(flags.devices)].flatMap(([device, values]) =>
      Object.entries(values).map(([name, value]) => ({ device, name, value })));
    say(version, t("flags.version", { version: flags.version }));
    none.hidden = lines.length > 0;
    keyed(set, lines, ({ device, name }) => `${device} ${name}`,
      () => el("li", {}, el("code", {}), el("span", { class: "hint" })),
      (line, { device, name, value }) => {
        say(line.firstChild, `${name}=${value}`);
        say(line.lastChild, device || t("flags.all"));
      });
    keyed(history, flags.history, (one) => one.version, () => el("li", {}, el("time", {}),
      el("strong", {}), el("span", { class: "detail" }), el("small", {})), (line, one) => {
      const [time, what, why, who] = line.children;
      say(time, dateAndTime(one.at_ms));
      say(what, flagsDetail(JSON.stringify({ values: one.values })));
      say(why, [one.device_id || t("flags.all"), one.why].filter(Boolean).join(" · "));
      say(who, `v${one.version} · ${one.who}`);
    });
  }

  return {
    root,
    know(ids) {
      deviceIds = ids;
    },
    async look() {
      flags = await get(`${path}/flags`);
      draw();
      return flags;
    },
  };
}

function changeFlags(path, table, deviceIds, flags) {
  const scope = select([["", t("flags.all")], ...deviceIds.map((id) => [id, id])], { id: "flag-scope" });
  const name = select(table.map((row) => [row.name, row.name]), { id: "flag-name" });
  const meaning = el("p", { class: "hint", id: "flag-meaning", "aria-live": "polite" });
  const place = el("div", {});
  const why = el("input", { id: "flag-why", required: true, maxlength: 200, autocomplete: "off" });
  let value = null;

  function offer() {
    const row = table.find((one) => one.name === name.value);
    const now = (scope.value ? flags.devices[scope.value] : flags.site)?.[row.name];
    const usual = row.kind === "bool" ? t(row.default ? "flags.on" : "flags.off") : `${row.default} ${row.unit}`;
    say(meaning, `${t(`flag.${row.name}`)} ${t("flags.default", { value: usual.trim() })}`);
    value = control(row, now);
    place.replaceChildren(field(row.unit ? `${t("flags.value")} (${row.unit})` : t("flags.value"), value,
      t("flags.value_hint")));
  }

  name.addEventListener("change", offer);
  scope.addEventListener("change", offer);
  offer();
  return formDialog({
    title: t("flags.open"),
    content: [field(t("flags.scope"), scope), field(t("flags.name"), name), meaning, place,
      field(t("flags.why"), why)],
    action: t("flags.do"),
    submit: () => patch(`${path}/flags`, {
      values: { [name.value]: value.value === "" ? null : value.value },
      device_id: scope.value || null,
      why: why.value.trim(),
    }),
  });
}

/** What a flag is set with; the empty value removes it, so that the default holds again. */
function control(row, now) {
  const unset = ["", t("flags.unset")];
  let made;
  if (row.kind === "bool") made = select([unset, ["1", t("flags.on")], ["0", t("flags.off")]]);
  else if (row.kind === "str") {
    made = el("input", { list: "flag-choices", autocomplete: "off", spellcheck: "false" });
  } else {
    made = el("input", { type: "number", step: row.kind === "int" ? 1 : "any", min: row.low, max: row.high });
  }
  made.id = "flag-value";
  made.value = now ?? "";
  return made;
}
