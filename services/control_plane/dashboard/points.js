// The drift points of a site over the last minutes, and what is drawn of them. No page in here.

export const SPAN_MS = 600_000;
const BUCKET_MS = 1000; // a point of each device in each second is more than a screen can show
const OVERLAP_S = 6; // a status that came late has an older time

const GAP_S = 8; // a device that is silent for longer played nothing, or is away

/** One device's figures at those times, with a break where it was silent. */
function broken(times, kept, figure) {
  const column = times.map((time) => kept.get(time)?.[figure]);
  let last = -1;
  column.forEach((value, i) => {
    if (value === undefined) return;
    if (last < 0 || times[i] - times[last] > GAP_S) column.fill(null, last + 1, i);
    last = i;
  });
  return column.fill(null, last + 1);
}

/** Points by device, each kept once, the newest ten minutes. */
export class Points {
  constructor() {
    this.byDevice = new Map();
    this.newestMs = 0; // server time of the newest answer
  }

  /** How many seconds back to ask: all at first, then what is new. */
  secondsToAsk(nowMs) {
    const all = SPAN_MS / 1000;
    if (!this.newestMs) return all;
    const seconds = Math.ceil((nowMs - this.newestMs) / 1000) + OVERLAP_S;
    return Math.max(1, Math.min(all, seconds)); // a clock that was set back must not ask for less than nothing
  }

  /** Take an answer about the drift in. */
  add({ server_time_ms: serverMs, devices }) {
    this.newestMs = serverMs;
    this.merge(serverMs, devices);
  }

  /** Take in what each device said last, as the answer about its site has it: the newest point. */
  addStatuses({ server_time_ms: serverMs, devices }) {
    const said = devices.filter(({ status }) => status?.drift_ms?.count && typeof status.drift_ms.mean === "number");
    this.merge(serverMs, Object.fromEntries(said.map(({ device_id: id, status }) => {
      const { mean, max } = status.drift_ms;
      return [id, [[status.at_ms, mean, max || Math.abs(mean), status.mode, status.term]]];
    })));
  }

  merge(serverMs, devices) {
    for (const [id, rows] of Object.entries(devices)) {
      if (!this.byDevice.has(id)) this.byDevice.set(id, new Map());
      const kept = this.byDevice.get(id);
      for (const [atMs, mean, max, mode, term] of rows) {
        kept.set(Math.floor(atMs / BUCKET_MS), { mean, max, mode, term });
      }
    }
    const oldest = Math.floor((serverMs - SPAN_MS) / BUCKET_MS);
    for (const [id, kept] of this.byDevice) {
      for (const key of kept.keys()) if (key < oldest) kept.delete(key);
      if (!kept.size) this.byDevice.delete(id);
    }
  }

  /**
   * The columns of a chart: seconds, then for each device its figure ("mean" or "max"). Where a
   * device has none, a line goes on over undefined, and breaks at null: after a long silence.
   */
  columns(ids, figure) {
    const all = new Set();
    for (const id of ids) for (const key of this.byDevice.get(id)?.keys() ?? []) all.add(key);
    const met = [...all].sort((a, b) => a - b);
    const breaks = met.filter((time, i) => met[i + 1] - time > GAP_S).map((time) => time + 1);
    const times = [...met, ...breaks].sort((a, b) => a - b);
    return [times, ...ids.map((id) => broken(times, this.byDevice.get(id) ?? new Map(), figure))];
  }

  /** When a newer term than all before was first met: [[seconds, term], …], not the first one. */
  terms() {
    const highest = new Map();
    for (const kept of this.byDevice.values()) {
      for (const [time, { term }] of kept) {
        if (term > (highest.get(time) ?? 0)) highest.set(time, term);
      }
    }
    const found = [];
    let last = 0;
    for (const time of [...highest.keys()].sort((a, b) => a - b)) {
      const term = highest.get(time);
      if (last && term > last) found.push([time, term]);
      if (term !== last) last = term; // a new session begins at term 1 again
    }
    return found;
  }

  /** In which mode a device was: [[from, to, mode], …] in seconds, with gaps left out. */
  modes(id) {
    const found = [];
    const kept = this.byDevice.get(id) ?? new Map();
    for (const time of [...kept.keys()].sort((a, b) => a - b)) {
      const { mode } = kept.get(time);
      const last = found[found.length - 1];
      if (last && last[2] === mode && time - last[1] <= GAP_S) last[1] = time;
      else found.push([last && time - last[1] <= GAP_S ? last[1] : time, time, mode]);
    }
    return found;
  }
}

/**
 * The range of the chart's axis for some values, ms: what 95 % of them need with room above, so
 * that one jump at a start does not flatten all the rest; and how many lie beyond it.
 */
export function scaleOf(values, signed) {
  const sizes = values.filter((value) => typeof value === "number").map(Math.abs).sort((a, b) => a - b);
  if (!sizes.length) return { low: signed ? -1 : 0, high: 1, beyond: 0, largest: 0 };
  const largest = sizes[sizes.length - 1];
  const most = sizes[Math.ceil(0.95 * sizes.length) - 1];
  const limit = Math.max(0.5, largest <= 5 * most ? 1.15 * largest : 2 * most);
  const beyond = sizes.filter((size) => size > limit).length;
  return { low: signed ? -limit : 0, high: limit, beyond, largest };
}
