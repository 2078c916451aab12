/* global uPlot */
// The live drift chart: a line for each device, the terms above, the modes below.

import { get } from "./api.js";
import { button, el, keyed, panel, say } from "./dom.js";
import { t } from "./i18n.js";
import { Points, SPAN_MS, scaleOf } from "./points.js";
import { clock, driftMs, number, serverNow, setServerTime, word } from "./figure_words.js";

const COLOURS = 8;
const DASHES = [[], [8, 4], [2, 3]];
const HEIGHT = 260;
const SHOWN_AT_FIRST = 8;
const LEAST_S = 60;
const FIGURES = ["mean", "max"];

const FRESH_S = 15; // what is older says nothing of now

/** The axis in hours and minutes, with seconds where the ticks are closer than that. */
function times(u, ticks) {
  const fine = ticks.length > 1 && ticks[1] - ticks[0] < 60;
  return ticks.map((s) => clock(1000 * s).slice(0, fine ? 8 : 5));
}

/** The axis in ms, with as many decimals as tell the ticks apart. */
function levels(u, ticks) {
  const step = ticks.length > 1 ? ticks[1] - ticks[0] : 1;
  const digits = [0, 1].find((count) => Number.isInteger(Number((step * 10 ** count).toFixed(6)))) ?? 2;
  return ticks.map((v) => number(v, digits));
}

/** The newest figure of a device, null when it is too old. */
function newest(data, times) {
  const at = data.findLastIndex((one) => typeof one === "number");
  return at >= 0 && times[at] >= serverNow() / 1000 - FRESH_S ? data[at] : null;
}

export function driftPanel(path) {
  const points = new Points();
  const hidden = new Set();
  let ids = [];
  let figure = "mean";
  let devices = new Map();
  let plot = null;
  let stopped = false;
  let scale = scaleOf([], true);

  const choice = FIGURES.map((name) => button(t(`chart.${name}`), () => {
    figure = name;
    choice.forEach((one, i) => one.setAttribute("aria-pressed", FIGURES[i] === figure));
    rebuild();
  }, { "aria-pressed": name === figure, class: "quiet" }));
  const { root, body } = panel("drift", t("chart.title"),
    el("div", { class: "switch", role: "group", "aria-label": t("chart.figure") }, choice));
  const canvas = el("div", { class: "chart", id: "drift-chart", role: "img", "aria-label": t("chart.label") });
  const strip = el("canvas", { class: "strip", "aria-hidden": "true" });
  const note = el("p", { class: "hint" });
  const legend = el("ul", { class: "legend", id: "drift-legend" });
  const key = el("ul", { class: "key", "aria-label": t("chart.modes") }, ["lan", "holdover", "cloud"]
    .map((mode) => el("li", { "data-mode": mode, text: word("mode", mode) })));
  body.append(canvas, strip, key, note, legend);

  function rebuild() {
    plot?.destroy();
    const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
    const axis = { stroke: colour("--ink-2"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
    const lines = ids.map((id, i) => ({
      label: id, show: !hidden.has(id), width: 2,
      stroke: colour(`--series-${(i % COLOURS) + 1}`),
      dash: DASHES[Math.floor(i / COLOURS) % DASHES.length],
      points: { show: (u, s, from, to) => to - from < 3 },
    }));
    plot = new uPlot({
      width: Math.max(240, canvas.clientWidth), height: HEIGHT,
      legend: { show: false },
      cursor: { drag: { x: false, y: false } },
      scales: {
        x: { time: true, range: span },
        y: { range: () => [scale.low, scale.high] },
      },
      axes: [
        { ...axis, space: 70, size: 28, values: times },
        { ...axis, size: 52, values: levels },
      ],
      series: [{}, ...lines],
      hooks: { draw: [drawTerms], setCursor: [fillLegend] },
    }, columns(), canvas);
    canvas.uplot = plot;
    draw();
  }

  /** Ten minutes; of a session that began just now, less. */
  function span(u, first) {
    const now = serverNow() / 1000;
    const from = Number.isFinite(first) ? Math.min(first - 2, now - LEAST_S) : -Infinity;
    return [Math.max(now - SPAN_MS / 1000, from), now];
  }

  function columns() {
    const data = points.columns(ids, figure);
    const shown = ids.flatMap((id, i) => (hidden.has(id) ? [] : data[i + 1]));
    scale = scaleOf(shown, figure === "mean");
    return data;
  }

  function draw() {
    plot.setData(columns());
    say(note, points.newestMs && !points.byDevice.size ? t("chart.empty")
      : scale.beyond ? t("chart.beyond", { count: scale.beyond, largest: driftMs(scale.largest, false) }) : "");
    drawModes();
    fillLegend();
  }

  function drawTerms(u) {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
    ctx.strokeStyle = ctx.fillStyle = getComputedStyle(root).getPropertyValue("--warn").trim();
    ctx.setLineDash([4, 4]);
    for (const [time, term] of points.terms()) {
      const x = Math.round(u.valToPos(time, "x", true));
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      const text = t("session.term", { term });
      const fits = x + 4 + ctx.measureText(text).width < bbox.left + bbox.width;
      ctx.textAlign = fits ? "left" : "right";
      ctx.fillText(text, x + (fits ? 4 : -4), bbox.top + 12 * devicePixelRatio);
    }
    ctx.restore();
  }

  function drawModes() {
    const shown = ids.filter((id) => !hidden.has(id)).slice(0, SHOWN_AT_FIRST);
    const row = 7;
    strip.hidden = !shown.length;
    const ratio = devicePixelRatio;
    strip.width = canvas.clientWidth * ratio;
    strip.height = (shown.length * row + 2) * ratio;
    strip.style.height = `${shown.length * row + 2}px`;
    const ctx = strip.getContext("2d");
    const style = getComputedStyle(root);
    const [left, right] = [plot.bbox.left, plot.bbox.left + plot.bbox.width];
    shown.forEach((id, i) => {
      for (const [from, to, mode] of points.modes(id)) {
        ctx.fillStyle = style.getPropertyValue(`--mode-${mode}`).trim() || "gray";
        const a = Math.max(left, plot.valToPos(from, "x", true));
        const b = Math.min(right, plot.valToPos(to + 1, "x", true));
        if (b > a) ctx.fillRect(a, (i * row + 1) * ratio, b - a, (row - 2) * ratio);
      }
    });
  }

  /** Each device's line: its figures under the cursor, else the newest. */
  function fillLegend() {
    if (!plot) return;
    const at = plot.cursor.idx;
    keyed(legend, ids.map((id, i) => ({ id, i })), ({ id }) => id, ({ id, i }) => {
      const swatch = el("span", { class: "swatch", "data-series": (i % COLOURS) + 1, "aria-hidden": "true" });
      const name = el("button", { type: "button", on: { click: () => toggle(id) } }, swatch, el("span", { text: id }));
      return el("li", {}, name, el("span", { class: "figure" }));
    }, (line, { id, i }) => {
      const data = plot.data[i + 1] ?? [];
      const now = at === null || at === undefined;
      const value = now ? newest(data, plot.data[0]) : data[at];
      const device = devices.get(id);
      const mode = now && device?.online ? device.status?.mode : "";
      const role = now && device?.online ? device.role : "";
      const more = [role ? word("role", role) : "", mode ? word("mode", mode) : ""];
      line.firstChild.setAttribute("aria-pressed", !hidden.has(id));
      say(line.lastChild, [driftMs(value, figure === "mean"), ...more].filter(Boolean).join(" · "));
    });
  }

  /** Draw; a device that is new gets its line. */
  function show() {
    const now = [...new Set([...ids, ...points.byDevice.keys()])].sort();
    if (plot && now.join() === ids.join()) {
      draw();
      return;
    }
    now.filter((id) => !ids.includes(id)).forEach((id) => {
      if (now.indexOf(id) >= SHOWN_AT_FIRST) hidden.add(id);
    });
    ids = now;
    legend.replaceChildren();
    rebuild();
  }

  function toggle(id) {
    if (!hidden.delete(id)) hidden.add(id);
    plot.setSeries(ids.indexOf(id) + 1, { show: !hidden.has(id) });
    draw();
  }

  const resized = new ResizeObserver(() => {
    if (!plot || plot.width === canvas.clientWidth || !canvas.clientWidth) return;
    plot.setSize({ width: canvas.clientWidth, height: HEIGHT });
    drawModes();
  });
  resized.observe(body);
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", rebuild);

  return {
    root,
    watch(site) {
      devices = new Map(site.devices.map((device) => [device.device_id, device]));
      points.addStatuses(site);
      if (plot) show();
    },
    /** All that was told of late: what came between two looks at the site, too. */
    async look() {
      const answer = await get(`${path}/drift?seconds=${points.secondsToAsk(serverNow())}`);
      setServerTime(answer.server_time_ms);
      points.add(answer);
      if (!stopped) show();
    },
    stop() {
      stopped = true;
      resized.disconnect();
      scheme.removeEventListener("change", rebuild);
      plot?.destroy();
      plot = null;
    },
  };
}
