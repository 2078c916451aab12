// The flags of a site: what is set, for whom, by whom and why; and the form that changes them.

import { get, patch } from "./api.js";
import { formDialog } from "./dialogs.js";
import { button, el, field, keyed, panel, say, select } from "./dom.js";
import { flagsDetail } from "./events.js";
import { sentence, t } from "./i18n.js";
import { isOn } from "./means.js";
import { dateAndTime } from "./figure_words.js";

export function flagsPanel(path, refresh) {
  const set = el("ul", { class: "flag-list", id: "flags-set" });
  const none = el("p", { class: "hint", text: t("flags.none") });
  const history = el("ol", { class: "events", id: "flags-history" });
  const open = button(t("flags.open"), change, { id: "flags-open", disabled: true });
  const { root, body } = panel("flags", t("flags.title"), open);
  const version = el("p", { class: "hint" });
  const problem = el("p", { class: "problem", role: "alert" });
  body.append(problem, version, none, set, el("details", {}, el("summary", { text: t("flags.history") }), history));
  let flags = { version: null, site: {}, devices: {}, history: [] };
  let deviceIds = [];
  let table = null;

  async function change() {
    problem.textContent = "";
    try {
      table ??= await get("/dashboard/flags.json");
    } catch (error) {
      problem.textContent = `${t("flags.no_table")} ${sentence(error.message)}`;
      return;
    }
    if (await changeFlags(path, table, deviceIds, flags)) refresh();
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
    /** Whether there are newer flags than those shown. */
    isBehind: (newest) => flags.version !== null && flags.version !== newest,
    async look() {
      flags = await get(`${path}/flags`);
      draw();
      open.disabled = false; // the form says what is set
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
  let made;
  if (row.kind === "bool") made = select([["", t("flags.unset")], ["1", t("flags.on")], ["0", t("flags.off")]]);
  else if (row.choices.length) made = select(choicesOf(row, now).map((one) => [one, one || t("flags.unset")]));
  else if (row.kind === "str") made = el("input", { autocomplete: "off", spellcheck: "false" });
  else {
    made = el("input", { type: "number", step: row.kind === "int" ? 1 : "any", min: row.low, max: row.high });
  }
  made.id = "flag-value";
  // A switch may be kept in any of its spellings; shown as unset, it would be removed by a save.
  made.value = now === undefined ? "" : row.kind === "bool" ? (isOn(now) ? "1" : "0") : now;
  return made;
}

/** Nothing, each word, the words that may stand together; and what is set, should it be none of these. */
function choicesOf({ choices, several }, now = "") {
  const lists = several.reduce((made, word) => [...made, ...made.map((list) => [...list, word])], [[]])
    .filter((list) => list.length > 1).map((list) => list.join(","));
  return [...new Set(["", ...choices, ...lists, now])];
}
