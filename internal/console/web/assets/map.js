// The map: every agent is a small cell, in blocks of a network or a group, always at the
// same place. A status is a shape as well as a colour; a lost network is a visible area.
import { $, el, count, plural, statuses, statusWords, rarely } from "./dom.js";
import { gone, sortKey } from "./fleet.js";
import { view } from "./filter.js";

const titleHeight = 17, between = 16, flashTime = 4000;
const sizes = [132, 116, 104, 92, 82, 74, 66, 58, 50, 44, 40, 36, 33, 30, 28, 26, 24, 22, 20, 18, 16, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4];
const shapes = [1.4, 2, 2.6, 3.2, 4, 5, 9]; // how many times as wide as high a block is
const named = 58; // cells as large have the agent's name in them
const maxPixels = 16e6; // of a canvas: some browsers draw none that is larger
const mostScreens = 4; // of a phone, that may be scrolled through
const finger = 26; // what a finger hits; WCAG asks for 24
const coarse = matchMedia("(pointer: coarse)");
const calm = matchMedia("(prefers-reduced-motion: reduce)");

export class FleetMap {
  // on has open(row), narrow(block) and said(text).
  constructor(fleet, on) {
    this.fleet = fleet; this.on = on;
    this.cells = $("cells"); this.over = $("overlay"); this.tip = $("tip");
    this.blocks = []; this.size = 12; this.width = 0; this.height = 0;
    this.match = null; this.cursor = -1; this.hover = -1;
    this.flashes = new Map(); // row → until
    this.dirty = false;
    this.relayout = rarely(() => this.layout(), 250);
    new ResizeObserver(rarely(() => this.resized(), 60)).observe($("map"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    this.over.addEventListener("pointermove", (e) => this.point(e));
    this.over.addEventListener("pointerleave", () => this.unpoint());
    this.over.addEventListener("click", (e) => this.click(e));
    this.over.addEventListener("keydown", (e) => this.key(e));
    this.over.addEventListener("focus", () => { if (this.cursor < 0 && this.order.length) this.moveTo(0); });
    this.over.addEventListener("blur", () => { this.cursor = -1; this.drawOver(); });
    this.order = [];
  }

  resized() {
    if ($("map").clientWidth !== this.seenWidth || Math.abs($("map").clientHeight - this.seenHeight) > 8) this.layout();
  }

  keyOf(row) { return view.by === "group" ? this.fleet.groupOf(row) : view.by === "node" ? this.fleet.nodeOf(row) : this.fleet.nets[row]; }

  // layout gives every agent its place.
  layout() {
    const box = $("map");
    if (box.hidden || box.clientWidth === 0) return;
    this.seenWidth = box.clientWidth; this.seenHeight = box.clientHeight;
    const style = getComputedStyle(box);
    this.width = box.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    const room = Math.max(coarse.matches ? innerHeight * 0.6 : box.clientHeight - parseFloat(style.paddingTop) - parseFloat(style.paddingBottom), 260);
    const byKey = new Map();
    for (let row = 0; row < this.fleet.ids.length; row++) {
      if (this.fleet.status[row] === gone || coarse.matches && this.match && !this.match(row)) continue;
      const key = this.keyOf(row);
      const rows = byKey.get(key);
      if (rows) rows.push(row); else byKey.set(key, [row]);
    }
    const nothing = { group: "no group", node: "no node" }[view.by] ?? "no address yet";
    this.blocks = [...byKey].map(([key, rows]) => ({ key, title: key || nothing, rows }));
    this.blocks.sort((a, b) => (a.key === "") - (b.key === "") || (view.by === "group"
      ? this.fleet.groupNames.indexOf(a.key) - this.fleet.groupNames.indexOf(b.key)
      : view.by === "node" ? compare(a.key, b.key) : compare(sortKey(a.key), sortKey(b.key))));
    for (const block of this.blocks) {
      const keys = new Map(block.rows.map((row) => [row, sortKey(this.fleet.ips[row])]));
      block.rows.sort((a, b) => compare(keys.get(a), keys.get(b)) || this.fleet.ids[a].length - this.fleet.ids[b].length || compare(this.fleet.ids[a], this.fleet.ids[b]));
    }
    this.size = this.chooseSize(room);
    this.height = Math.max(this.place(this.size), 40);
    box.dataset.cell = this.size;
    this.where = new Map();
    this.order = [];
    this.blocks.forEach((block, b) => block.rows.forEach((row, i) => { this.where.set(row, [b, i]); this.order.push(row); }));
    this.draw();
  }

  // chooseSize returns the size of the cells: all of it in sight, if they are not too small; else to
  // be scrolled through, if that is not too long.
  chooseSize(room) {
    const fits = (least, height) => sizes.find((size) => size >= least && size <= this.width && this.place(size) <= height);
    if (coarse.matches) {
      const large = fits(finger, room) ?? (this.place(finger) <= mostScreens * innerHeight ? finger : undefined);
      if (large) return large;
    }
    return fits(7, room) ?? sizes.find((size) => size <= 9 && this.place(size) <= 2.5 * room) ?? sizes.at(-1);
  }

  // place puts the blocks on shelves, with cells of a size, and returns the height: the least for
  // blocks that are more or less wide.
  place(size) {
    const heights = shapes.map((wide) => this.placeBlocks(size, wide)), least = Math.min(...heights);
    return this.placeBlocks(size, shapes[heights.indexOf(least)]);
  }

  placeBlocks(size, wide) {
    let x = 0, y = 0, shelf = 0;
    for (const block of this.blocks) {
      const n = block.rows.length;
      const least = Math.ceil(Math.min(this.width, 124) / size);
      block.cols = Math.max(Math.min(Math.ceil(Math.sqrt(n * wide)), Math.floor(this.width / size)), Math.min(least, Math.floor(this.width / size)));
      block.w = block.cols * size;
      block.h = titleHeight + Math.ceil(n / block.cols) * size;
      if (x > 0 && x + block.w > this.width) { x = 0; y += shelf + between; shelf = 0; }
      block.x = x; block.y = y;
      x += block.w + between;
      shelf = Math.max(shelf, block.h);
    }
    return y + shelf + 2;
  }

  // side is that of a cell, without the gap to the next one.
  get side() { return this.size - (this.size >= named ? 4 : this.size >= 9 ? 2 : this.size >= 5 ? 1 : 0.6); }

  at(row) {
    const found = this.where.get(row);
    if (!found) return null;
    const block = this.blocks[found[0]];
    return { x: block.x + (found[1] % block.cols) * this.size, y: block.y + titleHeight + Math.floor(found[1] / block.cols) * this.size };
  }

  sized(canvas) {
    const scale = Math.min(window.devicePixelRatio || 1, Math.sqrt(maxPixels / (this.width * this.height)));
    const w = Math.round(this.width * scale), h = Math.round(this.height * scale);
    if (canvas.width !== w || canvas.height !== h) {
      canvas.width = w; canvas.height = h;
      canvas.style.width = `${this.width}px`; canvas.style.height = `${this.height}px`;
    }
    const c = canvas.getContext("2d");
    c.setTransform(scale, 0, 0, scale, 0, 0);
    c.clearRect(0, 0, this.width, this.height);
    return c;
  }

  // redraw draws with the next frame.
  redraw() {
    if (this.dirty) return;
    this.dirty = true;
    requestAnimationFrame(() => { this.dirty = false; this.draw(); });
  }

  draw() {
    if (!this.where) return;
    this.colours = colours();
    const c = this.sized(this.cells);
    for (const dim of [true, false]) {
      c.globalAlpha = dim ? 0.13 : 1;
      for (let status = 3; status >= 0; status--) this.drawStatus(c, status, dim);
    }
    c.globalAlpha = 1;
    if (this.size >= named) this.drawNames(c);
    this.drawTitles(c);
    this.drawOver();
  }

  // drawStatus draws all cells of one status in one go.
  drawStatus(c, status, dim) {
    if (dim && !this.match) return;
    const { size, side } = this;
    const fill = new Path2D(), line = new Path2D(), back = new Path2D(), markSide = 13;
    for (const block of this.blocks) {
      for (let i = 0; i < block.rows.length; i++) {
        const row = block.rows[i];
        if (this.fleet.status[row] !== status || (this.match ? this.match(row) === dim : dim)) continue;
        const x = block.x + (i % block.cols) * size, y = block.y + titleHeight + Math.floor(i / block.cols) * size;
        if (size < named) { shape(status, fill, line, x, y, side, size); continue; }
        back.roundRect(x, y, side, side, 5);
        shape(status, fill, line, x + 7, y + 7, markSide, markSide);
      }
    }
    const alpha = c.globalAlpha;
    c.globalAlpha = alpha * (status === 1 ? 0.3 : 0.14);
    c.fillStyle = this.colours[status];
    c.fill(back);
    c.globalAlpha = alpha;
    c.fillStyle = c.strokeStyle = this.colours[status];
    c.fill(fill);
    c.lineWidth = Math.max((size < named ? size : markSide) / 9, 1);
    if (status === 1) c.strokeStyle = this.colours.panel;
    c.stroke(line);
  }

  // drawNames draws the names of agents into their cells.
  drawNames(c) {
    c.font = `500 12px ${getComputedStyle(document.body).fontFamily}`;
    c.textBaseline = "bottom";
    for (const row of this.order) {
      const { x, y } = this.at(row), room = this.side - 14;
      c.globalAlpha = this.match && !this.match(row) ? 0.3 : 1;
      c.fillStyle = this.colours.text;
      let name = this.fleet.names[row] || this.fleet.ids[row];
      while (name.length > 2 && c.measureText(name).width > room) name = `${name.replace(/…$/, "").slice(0, -1)}…`;
      c.fillText(name, x + 7, y + this.side - 6);
    }
    c.globalAlpha = 1;
  }

  drawTitles(c) {
    c.font = `600 11px ${getComputedStyle(document.body).fontFamily}`;
    c.textBaseline = "top";
    for (const block of this.blocks) {
      const n = [0, 0, 0, 0];
      for (const row of block.rows) n[this.fleet.status[row]]++;
      const known = block.rows.length - n[3];
      const silent = view.by === "node" && this.fleet.lostNodes.has(block.key);
      const dead = silent || n[1] > 0 && n[1] * 2 >= known;
      c.fillStyle = dead ? this.colours[1] : n[1] ? this.colours.text : this.colours.dim;
      const tail = silent ? `  ${count(block.rows.length)}, node lost` : n[1] ? `  ${count(n[1])} of ${count(block.rows.length)} lost` : `  ${count(block.rows.length)}`;
      let title = block.title, whole = title + tail;
      if (c.measureText(whole).width > block.w) whole = n[1] ? `${title}  −${count(n[1])}` : title;
      if (c.measureText(whole).width > block.w + between - 4) {
        while (title.length > 3 && c.measureText(`${title}…`).width > block.w) title = title.slice(0, -1);
        whole = `${title}…`;
      }
      c.fillText(whole, block.x, block.y);
    }
  }

  // drawOver draws what comes and goes: the cursor, and what has just changed.
  drawOver() {
    if (!this.where) return;
    const c = this.sized(this.over), now = performance.now();
    for (const [row, until] of this.flashes) {
      const at = this.at(row);
      if (until < now || !at) { this.flashes.delete(row); continue; }
      const left = (until - now) / flashTime;
      c.globalAlpha = calm.matches ? 1 : Math.min(left * 1.6, 1);
      c.strokeStyle = this.colours[this.fleet.status[row]] ?? this.colours.dim;
      this.drawRing(c, at, ringWidth(this.size), calm.matches ? 0 : (1 - left) * Math.min(this.size / 3, 6));
    }
    c.globalAlpha = 1;
    for (const [row, width] of [[this.hover, 1.5], [this.fleet.rows.get(view.agent) ?? -1, 2.5], [this.cursor, 2.5]]) {
      const at = this.at(row);
      if (!at) continue;
      c.strokeStyle = row === this.cursor ? this.colours.accent : this.colours.text;
      this.drawRing(c, at, Math.min(width, ringWidth(this.size) + 0.5), 0);
    }
    if (this.flashes.size && !this.ticking) {
      this.ticking = true;
      setTimeout(() => requestAnimationFrame(() => { this.ticking = false; this.drawOver(); }), calm.matches ? flashTime : 40);
    }
  }

  // drawRing draws a ring around a cell, grown by some pixels.
  drawRing(c, { x, y }, width, grown) {
    const out = width / 2 + grown, side = this.side + 2 * out;
    c.lineWidth = width;
    c.beginPath();
    c.roundRect(x - out, y - out, side, side, Math.min(this.side / 4, 5) + out);
    c.stroke();
  }

  // flash shows that an agent has just changed.
  flash(row) {
    if (this.flashes.size < 16) this.flashes.set(row, performance.now() + flashTime);
  }

  filter(match) {
    const narrowed = coarse.matches && (match || this.match);
    this.match = match;
    if (narrowed) this.relayout(); else this.redraw();
  }

  find(e) {
    const box = this.over.getBoundingClientRect(), x = e.clientX - box.left, y = e.clientY - box.top;
    for (const block of this.blocks) {
      if (x < block.x || y < block.y || x > block.x + block.w + between || y > block.y + block.h) continue;
      if (y < block.y + titleHeight) return { block };
      const col = Math.floor((x - block.x) / this.size), i = Math.floor((y - block.y - titleHeight) / this.size) * block.cols + col;
      if (col < block.cols && i < block.rows.length) return { block, row: block.rows[i] };
    }
    return {};
  }

  point(e) {
    const { block, row = -1 } = this.find(e);
    if (row !== this.hover) { this.hover = row; this.drawOver(); }
    if (!block) return this.unpoint();
    this.tip.hidden = false;
    this.tip.replaceChildren(...(row >= 0 ? this.words(row) : [el("b", {}, block.title), `${plural(block.rows.length, "agent")}: click to see only these`]));
    const w = this.tip.offsetWidth, h = this.tip.offsetHeight;
    this.tip.style.left = `${Math.max(Math.min(e.clientX + 14, innerWidth - w - 8), 8)}px`;
    this.tip.style.top = `${e.clientY + 18 + h > innerHeight ? e.clientY - h - 10 : e.clientY + 18}px`;
  }

  unpoint() {
    this.tip.hidden = true;
    if (this.hover >= 0) { this.hover = -1; this.drawOver(); }
  }

  words(row) {
    const f = this.fleet;
    return [el("b", {}, f.names[row] || f.ids[row]), [f.ids[row], f.ips[row], f.nodeOf(row), statusWords[statuses[f.status[row]]]].filter(Boolean).join(" · ")];
  }

  click(e) {
    const { block, row } = this.find(e);
    if (coarse.matches && block && this.size < finger && this.blocks.length > 1) this.on.narrow(block.key); // a finger does not hit one cell of many
    else if (row !== undefined) this.on.open(row);
    else if (block) this.on.narrow(block.key);
  }

  key(e) {
    const found = this.where?.get(this.cursor);
    if (!found || e.ctrlKey || e.metaKey || e.altKey) return;
    const block = this.blocks[found[0]], here = this.order.indexOf(this.cursor);
    const to = {
      ArrowRight: here + 1, ArrowLeft: here - 1, ArrowDown: Math.min(here + block.cols, here - found[1] + block.rows.length),
      ArrowUp: found[1] >= block.cols ? here - block.cols : here - found[1] - 1, Home: 0, End: this.order.length - 1,
      n: this.nextLost(here), PageDown: here - found[1] + block.rows.length, PageUp: here - found[1] - 1,
    }[e.key];
    if (e.key === "Enter" || e.key === " ") this.on.open(this.cursor);
    else if (to === undefined) return;
    else this.moveTo(Math.max(0, Math.min(to, this.order.length - 1)));
    e.preventDefault();
  }

  nextLost(here) {
    for (let i = 1; i <= this.order.length; i++) {
      const at = (here + i) % this.order.length;
      if (this.fleet.status[this.order[at]] === 1) return at;
    }
    return here;
  }

  moveTo(index) {
    this.cursor = this.order[index];
    const at = this.at(this.cursor), box = $("map");
    if (at && box.scrollHeight > box.clientHeight) box.scrollTop = Math.max(0, at.y - box.clientHeight / 2);
    this.on.said(`${this.fleet.names[this.cursor] || this.fleet.ids[this.cursor]}, ${this.fleet.ips[this.cursor]}, ${statusWords[statuses[this.fleet.status[this.cursor]]]}`);
    this.drawOver();
  }
}

// ringWidth returns how wide a ring is, for the size of the cells.
const ringWidth = (size) => Math.max(1, Math.min(size / 7, 2.5));

const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

// shape adds one cell: filled when active, whole and crossed when lost, half full
// when pending, a dot when it has never connected.
function shape(status, fill, line, x, y, side, size) {
  const room = side >= 7;
  switch (status) {
    case 0:
      if (room) fill.roundRect(x, y, side, side, side / 4); else fill.rect(x + side * 0.12, y + side * 0.12, side * 0.76, side * 0.76);
      break;
    case 1:
      fill.rect(x, y, room ? side : size, room ? side : size);
      if (room) {
        const a = side * 0.28, b = side - a;
        line.moveTo(x + a, y + a); line.lineTo(x + b, y + b);
        line.moveTo(x + b, y + a); line.lineTo(x + a, y + b);
      }
      break;
    case 2:
      if (room) line.rect(x + 1, y + 1, side - 2, side - 2);
      fill.rect(x, y + side / 2, side, side / 2);
      break;
    case 3: {
      const dot = Math.max(side * 0.3, 1);
      fill.rect(x + (side - dot) / 2, y + (side - dot) / 2, dot, dot);
    }
  }
}

function colours() {
  const probe = $("legend"); // the browser computes what the theme says
  const of = (name) => {
    probe.style.color = `var(${name})`;
    const value = getComputedStyle(probe).color;
    probe.style.color = "";
    return value;
  };
  return { 0: of("--active"), 1: of("--disconnected"), 2: of("--pending"), 3: of("--never"), text: of("--text"), dim: of("--dim"), accent: of("--accent"), panel: of("--panel") };
}
