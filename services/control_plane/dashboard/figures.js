// All invocations by hour, those by devices by day, with the day of the LAN marked; the last days.

import { get } from "./api.js";
import { el, panel } from "./dom.js";
import { t } from "./i18n.js";
import { beforeAfter, dayOf, filled, lanSince } from "./means.js";
import { day, driftMs, number, serverNow } from "./figure_words.js";

const DAYS = 14;
const HOURS = 24;

export function figuresPanel(path) {
  const { root, body } = panel("figures", t("figures.title"));
  const hours = barChart("hours-chart");
  const days = barChart("days-chart");
  const compare = el("div", { class: "compare", id: "compare" });
  const table = el("div", { class: "scroller", tabindex: 0, role: "region", "aria-label": t("figures.days") });
  body.append(el("p", { class: "hint", text: t("figures.counted") }), el("h3", { text: t("figures.by_hour") }), hours, el("h3", { text: t("figures.by_day") }), days,
    compare, el("details", {}, el("summary", { text: t("figures.days") }), table));
  let kpis = [];
  let since = "";
  let width = 0;
  const resized = new ResizeObserver(() => {
    if (width !== hours.clientWidth) draw();
  });
  resized.observe(hours);

  function draw() {
    width = hours.clientWidth;
    const today = dayOf(serverNow());
    const all = filled(kpis, today, DAYS);
    const byHour = all[DAYS - 1].invocations_by_hour;
    drawBars(hours, Array.from({ length: HOURS }, (_, hour) => ({
      value: byHour[hour] ?? 0, label: hour % 6 ? "" : `${hour}:00`, name: `${hour}:00`,
    })), "");
    drawBars(days, all.map(({ date, device_calls: calls }, i) => ({
      value: calls, label: (DAYS - 1 - i) % 3 ? "" : day(date), name: day(date), marked: date === since,
    })), t("figures.lan"));
    const { before, after, change } = beforeAfter(all, since, today);
    compare.replaceChildren(...(since ? [
      fact(t("figures.since"), day(since, { day: "numeric", month: "long" })),
      fact(t("figures.before"), number(before)), fact(t("figures.after"), number(after)),
      fact(t("figures.change"), change === null ? "–" : `${number(100 * change, 0, true)} %`),
      el("p", { class: "hint", text: t("figures.whole") }),
    ] : [el("p", { class: "hint", text: t("figures.no_lan") })]));
    table.replaceChildren(dayTable(all.filter((one) => one.devices).reverse()));
  }

  return {
    root,
    stop: () => resized.disconnect(),
    async look() {
      kpis = (await get(`${path}/kpis?days=${DAYS}`)).days;
      draw();
    },
    since(flags) {
      since = lanSince(flags.history);
      draw();
    },
  };
}

function fact(name, value) {
  return el("div", { class: "fact" }, el("span", { text: name }), el("strong", { text: value }));
}

function dayTable(days) {
  const names = ["day", "invocations", "calls", "cpu", "failovers", "fallbacks", "sessions", "failed", "drift", "within"];
  const head = el("tr", {}, names.map((name) => el("th", { scope: "col", text: t(`figures.col_${name}`) })));
  const rows = days.map((one) => {
    const all = Object.values(one.devices).filter((device) => device.samples);
    const largest = all.length ? Math.max(...all.map((device) => device.max_ms ?? 0)) : null;
    const within = all.length ? Math.min(...all.map((device) => device.within_50ms_ratio)) : null;
    const cells = [number(one.invocations), number(one.device_calls), number(one.cpu_s, 1), number(one.failovers), number(one.fallbacks),
      number(one.sessions_completed), number(one.sessions_failed), driftMs(largest, false),
      within === null ? "–" : `${number(100 * within, 1)} %`];
    return el("tr", {}, el("th", { scope: "row", text: day(one.date) }), cells.map((text) => el("td", { text })));
  });
  return el("table", { class: "plain" }, el("thead", {}, head), el("tbody", {}, rows));
}

const SVG = "http://www.w3.org/2000/svg";
const [HEIGHT, TOP, FOOT] = [130, 16, 18];
const USUAL_WIDTH = 560; // while the page has no room for it yet

function barChart(id) {
  const chart = svg("svg", { class: "bars", role: "img", height: HEIGHT });
  chart.id = id;
  return chart;
}

/** Bars from left to right; the largest has its figure, a marked one a line and `mark`. */
function drawBars(chart, bars, mark) {
  const width = chart.clientWidth || USUAL_WIDTH; // drawn as wide as it is: letters keep their size
  chart.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  const most = Math.max(1, ...bars.map((bar) => bar.value));
  const step = width / bars.length;
  const room = HEIGHT - TOP - FOOT;
  const told = bars.filter((bar) => bar.value).map((bar) => `${bar.name}: ${number(bar.value)}`);
  chart.setAttribute("aria-label", told.join(", ") || t("figures.empty"));
  const parts = [];
  bars.forEach((bar, i) => {
    const height = (room * bar.value) / most;
    const middle = (i + 0.5) * step;
    const rect = svg("rect", {
      x: i * step + step * 0.15, width: step * 0.7, y: TOP + room - height, height, rx: 2,
    });
    rect.append(svg("title", {}, `${bar.name}: ${number(bar.value)}`));
    parts.push(rect);
    if (bar.value && bar.value === most) parts.push(text(middle, TOP + room - height - 4, number(most), width));
    if (bar.label) parts.push(text(middle, HEIGHT - 4, bar.label, width));
    if (bar.marked) {
      parts.push(svg("line", { x1: i * step, x2: i * step, y1: 2, y2: TOP + room, class: "mark" }));
      const left = i * step > width / 2; // where there is room for the words
      parts.push(svg("text", {
        x: i * step + (left ? -4 : 4), y: 11, class: "mark-text", "text-anchor": left ? "end" : "start",
      }, mark));
    }
  });
  parts.push(svg("line", { x1: 0, x2: width, y1: TOP + room, y2: TOP + room, class: "axis" }));
  chart.replaceChildren(...parts);
}

/** Words in the middle of `x`, but inside of the chart. */
function text(x, y, words, width) {
  const near = x < 30 ? "start" : x > width - 30 ? "end" : "middle";
  const at = { start: 2, end: width - 2, middle: x }[near];
  return svg("text", { x: at, y, "text-anchor": near }, words);
}

function svg(tag, attributes, words = "") {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (words) made.textContent = words;
  return made;
}
