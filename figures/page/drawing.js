// Lanes of bars on a canvas: what of them is in view, and how it is painted.
let LABELS = 112; // pixels for the lanes' names
const AXIS = 26, ROW = 14, GAP = 5, TITLE = 40, NARROW = 1.5;
const COLOURS = ["compute", "wait", "transfer"];

function withUnit(value, unit, prefixes, digits = 3) {
  if (value === 0) return `0 ${unit}`;
  const most = Object.keys(prefixes).map(Number).sort((a, b) => a - b);
  const rounded = Number(Math.abs(value).toPrecision(digits));
  const power = most.filter((each) => rounded >= 10 ** each).pop() ?? most[0];
  const scaled = value / 10 ** power;
  return `${Math.abs(scaled) < 1000 ? scaled.toPrecision(digits) : scaled.toFixed(0)} ${prefixes[power]}${unit}`;
}
const seconds = (value, digits) =>
  withUnit(value, "s", { "-12": "p", "-9": "n", "-6": "µ", "-3": "m", 0: "" }, digits);
const bytes = (value) => value < 1000 ? `${value} B`
  : withUnit(value, "B", { 3: "k", 6: "M", 9: "G", 12: "T", 15: "P" });

function colourOf(kind) {
  return kind === "compute" ? 0 : kind === "wait" ? 1 : 2;
}

// Packed lanes (figures/page/lanes.py says how) as columns of times in seconds.
function unpack(run) {
  const whats = run.whats.map(([kind, name, layer, payload, wire, ended, count, busy]) =>
    ({ kind, name, layer, payload, wire, ended, count, busy: busy * run.tick_s, colour: colourOf(kind) }));
  const lanes = run.lanes.map((lane) => {
    const size = lane.start.length;
    const start = new Float64Array(size), end = new Float64Array(size);
    let at = 0, longest = 0;
    for (let i = 0; i < size; i++) {
      at += lane.start[i];
      start[i] = at * run.tick_s;
      end[i] = (at + lane.length[i]) * run.tick_s;
      longest = Math.max(longest, end[i] - start[i]);
    }
    return { ...lane, run, start, end, longest };
  });
  return { ...run, whats, lanes, until: run.until * run.tick_s, shown: true };
}

// The first bar that may reach to a time: bars are in the order of their start.
function firstAt(lane, time) {
  let low = 0, high = lane.start.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (lane.start[middle] < time - lane.longest) low = middle + 1;
    else high = middle;
  }
  return low;
}

class Drawing {
  constructor(runs) {
    this.runs = runs;
    this.frame = document.getElementById("frame");
    this.canvas = document.getElementById("lanes");
    this.axis = document.getElementById("axis");
    this.bar = null; // that is told of: {placed, index}
    this.place();
    this.all();
  }

  // Which lanes are shown, and how far down each is.
  place() {
    this.lanes = [];
    this.titles = [];
    let y = 0;
    for (const run of this.runs.filter((each) => each.shown)) {
      this.titles.push({ run, y });
      y += TITLE;
      for (const lane of run.lanes) {
        const height = lane.rows > 1 ? Math.max(ROW, lane.rows * 5) : ROW;
        this.lanes.push({ lane, y, height, run });
        y += height + GAP;
      }
      y += GAP;
    }
    this.height = Math.max(y, 40);
    this.until = Math.max(...this.titles.map(({ run }) => run.until), 0) || 1;
  }

  all() {
    this.look(0, this.until);
  }

  // Show from one time to another, within the run, and no less than a few ticks.
  look(from, to) {
    const least = 20 * Math.min(...this.runs.map((run) => run.tick_s));
    const span = Math.min(Math.max(to - from, least), this.until);
    const middle = (from + to) / 2;
    this.from = Math.min(Math.max(middle - span / 2, 0), this.until - span);
    if (this.from < least / 40) this.from = 0; // rounding
    this.to = this.from + span;
    this.soon();
  }

  zoom(factor, at = (this.from + this.to) / 2) {
    this.look(at - (at - this.from) * factor, at + (this.to - at) * factor);
  }

  pan(share) {
    const by = share * (this.to - this.from);
    this.look(this.from + by, this.to + by);
  }

  soon() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = null;
      this.paint();
    });
  }

  x(time) {
    return LABELS + ((time - this.from) / (this.to - this.from)) * (this.width - LABELS);
  }

  time(x) {
    return this.from + ((x - LABELS) / (this.width - LABELS)) * (this.to - this.from);
  }

  colours() {
    const probe = document.createElement("span");
    this.frame.append(probe);
    const read = (name) => {
      probe.style.color = `var(--${name})`;
      return getComputedStyle(probe).color;
    };
    const names = ["paper", "raised", "ink", "soft", "line", "focus", "hatch", ...COLOURS,
      ...COLOURS.map((name) => `on-${name}`)];
    this.ink = Object.fromEntries(names.map((name) => [name, read(name)]));
    probe.remove();
    const tile = document.createElement("canvas");
    tile.width = tile.height = 6;
    const brush = tile.getContext("2d");
    brush.strokeStyle = this.ink.hatch;
    brush.lineWidth = 1.3;
    for (const shift of [-6, 0, 6]) {
      brush.moveTo(shift - 1, 7);
      brush.lineTo(shift + 7, -1);
    }
    brush.stroke();
    this.hatch = brush.createPattern(tile, "repeat");
  }

  recolour() {
    this.colours();
    this.soon();
  }

  fit(canvas, height) {
    const ratio = window.devicePixelRatio || 1;
    const [width, tall] = [Math.round(this.width * ratio), Math.round(height * ratio)];
    if (canvas.width !== width || canvas.height !== tall) {
      canvas.width = width;
      canvas.height = tall;
      canvas.style.height = `${height}px`;
    }
    const brush = canvas.getContext("2d");
    brush.setTransform(ratio, 0, 0, ratio, 0, 0);
    brush.fillStyle = this.ink.paper;
    brush.fillRect(0, 0, this.width, height);
    return brush;
  }

  paint() {
    this.width = Math.max(this.frame.clientWidth, 200);
    LABELS = this.width < 600 ? 76 : 112;
    if (!this.ink) this.colours();
    this.paintAxis(this.fit(this.axis, AXIS));
    const brush = this.fit(this.canvas, this.height);
    const top = this.frame.scrollTop - 40, bottom = this.frame.scrollTop + this.frame.clientHeight + 40;
    const all = this.printing;
    for (const placed of this.lanes) {
      if (all || (placed.y + placed.height > top && placed.y < bottom)) this.paintLane(brush, placed);
    }
    for (const title of this.titles) this.paintTitle(brush, title);
    this.paintChosen(brush);
    this.painted();
  }

  ticks() {
    const rough = ((this.to - this.from) * 90) / (this.width - LABELS);
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].find((each) => each * power >= rough) * power;
    const ticks = [];
    for (let n = Math.ceil(this.from / step); n * step <= this.to; n++) ticks.push(n * step);
    return [ticks, step];
  }

  paintAxis(brush) {
    const [ticks, step] = this.ticks();
    // One unit along the axis, with the digits that tell neighbours apart.
    const scale = [[1, "s"], [1e-3, "ms"], [1e-6, "µs"], [1e-9, "ns"]]
      .find(([unit]) => this.to >= unit) ?? [1e-12, "ps"];
    const digits = Math.max(0, -Math.floor(Math.log10(step / scale[0]) + 1e-9));
    brush.font = "12px system-ui, sans-serif";
    brush.textBaseline = "middle";
    brush.fillStyle = this.ink.soft;
    brush.textAlign = "left";
    brush.fillText("time", 8, AXIS / 2);
    for (const tick of ticks) {
      const x = this.x(tick);
      const label = `${(tick / scale[0]).toFixed(digits)} ${scale[1]}`;
      brush.fillRect(x, AXIS - 5, 1, 5);
      if (x + brush.measureText(label).width + 4 < this.width) brush.fillText(label, x + 4, AXIS / 2);
    }
    brush.fillStyle = this.ink.line;
    brush.fillRect(0, AXIS - 1, this.width, 1);
  }

  paintTitle(brush, { run, y }) {
    const below = this.lanes.filter((placed) => placed.run === run).pop();
    brush.textBaseline = "middle";
    brush.textAlign = "left";
    if (y) {
      brush.fillStyle = this.ink.line;
      brush.fillRect(0, y - 2, this.width, 1);
    }
    brush.fillStyle = this.ink.ink;
    brush.font = "600 12.5px system-ui, sans-serif";
    brush.fillText(`${run.name} (${run.evidence})`, 8, y + 12, this.width - 16);
    brush.font = "11px system-ui, sans-serif";
    let free = LABELS;
    brush.fillStyle = this.ink.soft;
    for (const [step, ticks] of run.steps) {
      const x = this.x(ticks * run.tick_s);
      if (x < LABELS || x > this.width) continue;
      if (below) {
        brush.globalAlpha = .35;
        brush.fillRect(x, y + TITLE - 16, 1, below.y + below.height - y - TITLE + 16);
        brush.globalAlpha = 1;
      }
      const label = free === LABELS ? `step ${step}` : `${step}`;
      const wide = brush.measureText(label).width + 10;
      if (x >= free && x + wide < this.width) {
        brush.fillText(label, x + 3, y + TITLE - 9);
        free = x + wide;
      }
    }
  }

  paintLane(brush, placed) {
    const { lane, y, height, run } = placed;
    const rowHeight = height / lane.rows;
    const busy = Array.from({ length: lane.rows }, () => [null, null, null]);
    const hatched = run.evidence !== "measured";
    brush.font = "10px system-ui, sans-serif";
    brush.textBaseline = "middle";
    brush.textAlign = "left";
    for (let i = firstAt(lane, this.from); i < lane.start.length && lane.start[i] <= this.to; i++) {
      if (lane.end[i] < this.from) continue;
      const what = run.whats[lane.what[i]], row = lane.row.length ? lane.row[i] : 0;
      const left = Math.max(this.x(lane.start[i]), LABELS), right = Math.min(this.x(lane.end[i]), this.width);
      if (right - left < NARROW) {
        const columns = busy[row][what.colour] ??= new Float32Array(Math.ceil(this.width) + 1);
        const share = what.count > 1 ? what.busy / (lane.end[i] - lane.start[i] || 1) : 1;
        columns[Math.floor((left + right) / 2)] += Math.min(share, 1) * (right - left);
      } else {
        this.paintBar(brush, { left, right, top: y + row * rowHeight, height: rowHeight, what, hatched, lane, i });
      }
    }
    busy.forEach((of, row) => this.paintColumns(brush, of, y + (row + 1) * rowHeight, rowHeight));
    this.paintLabel(brush, placed);
  }

  // A bar of many operations is as high as they fill its time.
  paintBar(brush, { left, right, top, height, what, hatched, lane, i }) {
    const gap = height > 8 ? 0 : .5;
    let high = (height - gap) * (what.colour === 1 ? .6 : 1);
    if (what.count > 1) high *= Math.min(1, Math.max(.15, what.busy / (lane.end[i] - lane.start[i] || 1)));
    const from = top + height - gap - high;
    const width = Math.max(right - left - (right - left > 4 ? .5 : 0), 1);
    brush.fillStyle = this.ink[COLOURS[what.colour]];
    brush.fillRect(left, from, width, high);
    if (hatched && width > 8 && high > 4) {
      brush.fillStyle = this.hatch;
      brush.fillRect(left, from, width, high);
    }
    if (height < 12 || width < 34 || what.colour === 1) return;
    const text = what.count > 1 ? `${what.count} ×` : what.name;
    if (brush.measureText(text).width + 8 > width) return;
    if (hatched) { // text needs a quiet ground
      brush.fillStyle = this.ink[COLOURS[what.colour]];
      brush.fillRect(left + 1, from + 1, brush.measureText(text).width + 5, high - 2);
    }
    brush.fillStyle = this.ink[`on-${COLOURS[what.colour]}`];
    brush.fillText(text, left + 3, from + high / 2 + .5);
  }

  // Bars too narrow to be drawn: of each column of pixels, how much was busy with what.
  paintColumns(brush, busy, bottom, height) {
    const base = new Float32Array(Math.ceil(this.width) + 1);
    busy.forEach((columns, colour) => {
      if (!columns) return;
      brush.fillStyle = this.ink[COLOURS[colour]];
      for (let x = LABELS; x < columns.length; x++) {
        if (!columns[x]) continue;
        const high = Math.min(Math.max(columns[x], .1), 1 - base[x]) * height;
        brush.fillRect(x, bottom - base[x] * height - high, 1, high);
        base[x] += high / height;
      }
    });
  }

  paintLabel(brush, { lane, y, height }) {
    brush.fillStyle = this.ink.paper;
    brush.fillRect(0, y - GAP / 2, LABELS - 1, height + GAP);
    brush.font = "12px system-ui, sans-serif";
    brush.fillStyle = lane.stream === "compute" ? this.ink.ink : this.ink.soft;
    const text = lane.stream === "compute" ? `rank ${lane.rank}` : lane.stream;
    brush.fillText(text, lane.stream === "compute" ? 8 : 20, y + height / 2, LABELS - 26);
  }
  paintChosen(brush) {
    if (!this.bar) return;
    const { placed, index } = this.bar, { lane } = placed;
    const rowHeight = placed.height / lane.rows, row = lane.row.length ? lane.row[index] : 0;
    const left = Math.max(this.x(lane.start[index]), LABELS);
    const right = Math.min(this.x(lane.end[index]), this.width);
    if (right < LABELS || left > this.width) return;
    brush.strokeStyle = this.ink.ink;
    brush.lineWidth = 2;
    brush.strokeRect(left - 1, placed.y + row * rowHeight - 1, Math.max(right - left, 2) + 2, rowHeight + 2);
  }
}
