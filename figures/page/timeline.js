// The timeline's hands: mouse, keys and buttons move it, and what they point at is told.
const NEAR = 3; // pixels between a pointer and a bar that it still means

class Timeline extends Drawing {
  constructor(runs) {
    super(runs);
    this.tip = document.getElementById("tip");
    this.at = 0; // which of the lanes shown the keys move along
    this.listen();
    this.offerRuns();
    document.getElementById("notes").textContent = runs
      .filter((run) => run.note).map((run) => `${run.name}: ${run.note}`).join(" ");
  }

  listen() {
    const canvas = this.canvas;
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("pointerdown", (event) => this.grab(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", () => { this.held = null; });
    canvas.addEventListener("pointercancel", () => { this.held = null; });
    canvas.addEventListener("pointerleave", () => { if (this.pointed) this.close(); });
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("focus", () => this.greet());
    canvas.addEventListener("blur", () => this.close());
    this.frame.addEventListener("scroll", () => this.soon());
    for (const button of document.querySelectorAll("[data-move]")) {
      button.addEventListener("click", () => MOVES[button.dataset.move](this));
    }
    new ResizeObserver(() => this.soon()).observe(this.frame);
    repaint.add(() => this.recolour());
    addEventListener("beforeprint", () => this.print(true));
    addEventListener("afterprint", () => this.print(false));
  }

  // Paper does not scroll: all lanes, and at once.
  print(printing) {
    this.printing = printing;
    this.colours();
    this.paint();
  }

  offerRuns() {
    const field = document.getElementById("traces");
    field.hidden = this.runs.length < 2;
    for (const run of this.runs) {
      const label = document.createElement("label"), box = document.createElement("input");
      box.type = "checkbox";
      box.checked = run.shown;
      box.addEventListener("change", () => {
        run.shown = box.checked;
        this.close();
        this.place();
        this.at = Math.min(this.at, Math.max(0, this.lanes.length - 1));
        this.look(this.from, this.to);
      });
      label.append(box, ` ${run.name}`);
      field.append(label);
    }
  }

  // What is in view, for people and for whatever reads the page.
  painted() {
    Object.assign(this.canvas.dataset, { from: this.from, to: this.to });
    document.getElementById("view").textContent =
      `In view: ${seconds(this.from)} to ${seconds(this.to)} of ${seconds(this.until)}.`;
  }

  wheel(event) {
    const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey;
    const zooming = event.ctrlKey || event.metaKey || document.activeElement === this.canvas;
    if (!sideways && !zooming) return; // the page scrolls
    event.preventDefault();
    if (sideways) this.pan((event.deltaX || event.deltaY) / this.width);
    else this.zoom(1.0015 ** event.deltaY, this.time(Math.max(event.offsetX, LABELS)));
  }

  grab(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.held = { x: event.offsetX, from: this.from, to: this.to };
  }

  move(event) {
    if (this.held && event.buttons) {
      const by = ((this.held.x - event.offsetX) / (this.width - LABELS)) * (this.held.to - this.held.from);
      this.look(this.held.from + by, this.held.to + by);
      return;
    }
    const found = this.under(event.offsetX, event.offsetY);
    if (!found) {
      if (this.pointed) this.close();
      return;
    }
    this.pointed = true;
    this.show(found, event.offsetX, event.offsetY);
  }

  // The bar at a point: of several the nearest to it, of those the shortest.
  under(x, y) {
    const placed = this.lanes.find((each) => y >= each.y - GAP / 2 && y < each.y + each.height + GAP / 2);
    if (!placed || x < LABELS) return null;
    const { lane } = placed, time = this.time(x);
    const near = this.time(x + NEAR) - time;
    const row = Math.min(lane.rows - 1, Math.max(0, Math.floor(((y - placed.y) / placed.height) * lane.rows)));
    let best = null, least = Infinity, count = 0;
    for (let i = firstAt(lane, time - near); i < lane.start.length && lane.start[i] <= time + near; i++) {
      if (lane.row.length && lane.row[i] !== row) continue;
      const away = Math.max(lane.start[i] - time, time - lane.end[i], 0);
      if (away > near) continue;
      count += 1;
      const rank = away + 1e-6 * (lane.end[i] - lane.start[i]);
      if (rank < least) [best, least] = [i, rank];
    }
    return best === null ? null : { placed, index: best, count };
  }

  tell({ placed, index, count = 1 }) {
    const { lane, run } = placed, what = run.whats[lane.what[index]];
    const lines = [];
    if (what.count > 1) {
      lines.push(`${what.count} operations put together: ${[what.kind, what.name].filter(Boolean).join(" ")}`);
      lines.push(`busy for ${seconds(what.busy)} of ${seconds(lane.end[index] - lane.start[index])}`);
    } else lines.push(`${what.name} (${what.kind})`);
    lines.push(`rank ${lane.rank}, ${lane.stream}${lane.step[index] < 0 ? "" : `, step ${lane.step[index]}`}`
      + (what.layer < 0 ? "" : `, layer ${what.layer}`));
    lines.push(`start ${seconds(lane.start[index], 7)}`);
    if (what.count === 1) {
      lines.push(what.ended ? `duration ${seconds(lane.end[index] - lane.start[index])}` : "never seen to end");
    }
    if (what.colour === 2) lines.push(`bytes ${bytes(what.payload)}, on the wire ${bytes(what.wire)}`);
    lines.push(`${run.name}, ${run.evidence}`);
    if (count > 1) lines.push(`${count} bars are here: zoom in to tell them apart`);
    return lines.join("\n");
  }

  show(found, x, y) {
    this.bar = found;
    this.tip.textContent = this.tell(found);
    this.tip.hidden = false;
    // Beside the point; the tip lies over the frame, which scrolls below it.
    const left = x + 14 + this.tip.offsetWidth > this.width ? x - 14 - this.tip.offsetWidth : x + 14;
    this.tip.style.left = `${Math.max(4, left)}px`;
    this.tip.style.top = `${y - this.frame.scrollTop + AXIS + 14}px`;
    this.soon();
  }

  close() {
    this.bar = null;
    this.pointed = false;
    this.tip.hidden = true;
    this.soon();
  }

  greet() {
    const placed = this.lanes[this.at];
    if (placed) this.aloud(`Lane ${this.at + 1} of ${this.lanes.length}: ${this.laneName(placed)}`);
  }

  laneName({ lane, run }) {
    return `${run.name}, rank ${lane.rank}, ${lane.stream}`;
  }

  aloud(text) {
    document.getElementById("told").textContent = text;
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const act = KEYS[event.key];
    if (!act) return;
    event.preventDefault();
    act(this);
  }

  changeLane(by) {
    if (!this.lanes.length) return;
    this.at = Math.min(Math.max(this.at + by, 0), this.lanes.length - 1);
    const placed = this.lanes[this.at];
    const middle = (this.from + this.to) / 2;
    const index = Math.min(firstAt(placed.lane, middle + placed.lane.longest), placed.lane.start.length - 1);
    this.choose({ placed, index: Math.max(index, 0) }, `${this.laneName(placed)}. `);
  }

  // The next bar of the lane, or the one before; at first, the first in view.
  step(by) {
    const placed = this.lanes[this.at];
    if (!placed) return;
    const { lane } = placed;
    const chosen = this.bar && this.bar.placed === placed;
    const first = lane.start.findIndex((start) => start >= this.from);
    const index = chosen ? this.bar.index + by : first < 0 ? lane.start.length - 1 : first;
    this.choose({ placed, index: Math.min(Math.max(index, 0), lane.start.length - 1) }, "");
  }

  choose(found, before) {
    const { placed, index } = found, { lane } = placed;
    this.pointed = false;
    if (lane.end[index] < this.from || lane.start[index] > this.to) {
      const middle = (lane.start[index] + lane.end[index]) / 2, half = (this.to - this.from) / 2;
      this.look(middle - half, middle + half);
    }
    const above = placed.y - this.frame.scrollTop, room = this.frame.clientHeight - AXIS - placed.height - 8;
    if (above < 0 || above > room) this.frame.scrollTop = placed.y - room / 2;
    const x = Math.min(Math.max(this.x((lane.start[index] + lane.end[index]) / 2), LABELS), this.width);
    this.show(found, x, placed.y + placed.height / 2);
    this.aloud(before + this.tell(found).replaceAll("\n", "; "));
  }

  zoomToBar() {
    if (!this.bar) return;
    const { placed: { lane }, index } = this.bar;
    const margin = 2 * (lane.end[index] - lane.start[index]) || (this.to - this.from) / 8;
    this.look(lane.start[index] - margin, lane.end[index] + margin);
    this.choose({ placed: this.bar.placed, index }, "");
  }
}

const MOVES = {
  in: (view) => view.zoom(0.5),
  out: (view) => view.zoom(2),
  left: (view) => view.pan(-0.25),
  right: (view) => view.pan(0.25),
  all: (view) => view.all(),
};
const KEYS = {
  "+": MOVES.in, "=": MOVES.in, "-": MOVES.out, "0": MOVES.all, Home: MOVES.all,
  ArrowLeft: MOVES.left, ArrowRight: MOVES.right,
  ArrowUp: (view) => view.changeLane(-1), ArrowDown: (view) => view.changeLane(1),
  n: (view) => view.step(1), p: (view) => view.step(-1),
  Enter: (view) => view.zoomToBar(), Escape: (view) => view.close(),
};

function startTimeline() {
  const runs = JSON.parse(document.getElementById("data").textContent).map(unpack);
  document.getElementById("controls").hidden = false;
  document.getElementById("frame").hidden = false;
  return new Timeline(runs);
}

startTimeline();
