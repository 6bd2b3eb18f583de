// Small charts, in SVG.
import { svg, span, timeOf, whenOf, statusWords } from "./dom.js";

// path is a line through points, each [x, y].
const path = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");

// spark is a line without words.
export function spark(values, label) {
  const w = 120, h = 34, top = Math.max(...values, 1e-9);
  const points = values.map((v, i) => [(i / Math.max(values.length - 1, 1)) * w, h - 3 - (v / top) * (h - 8)]);
  const chart = svg("svg", { viewBox: `0 0 ${w} ${h}`, class: "chart", preserveAspectRatio: "none", role: "img", "aria-label": label });
  if (points.length > 1) chart.append(svg("path", { class: "area", d: `${path(points)}L${w} ${h}L0 ${h}Z` }), svg("path", { class: "line", d: path(points), "vector-effect": "non-scaling-stroke" }));
  return chart;
}

// trips draws round trips over time, and the keep-alives that were missed.
export function trips(list) {
  const w = 330, h = 96, left = 48, bottom = 16, top = 6;
  const good = list.filter((t) => t.rtt_ms !== null);
  const most = nice(Math.max(...good.map((t) => t.rtt_ms), 0.1));
  const first = Date.parse(list[0].at), last = Math.max(Date.parse(list.at(-1).at), first + 1000);
  const x = (t) => left + ((Date.parse(t) - first) / (last - first)) * (w - left - 4), y = (ms) => top + (1 - ms / most) * (h - top - bottom);
  const missed = list.length - good.length;
  const chart = svg("svg", { viewBox: `0 0 ${w} ${h}`, class: "chart", role: "img", "aria-label": `Round trips: ${good.length} answered, the last after ${good.length ? span(good.at(-1).rtt_ms) : "none"}, ${missed} missed` });
  for (const share of [0, 0.5, 1]) {
    chart.append(svg("line", { class: "grid", x1: left, x2: w, y1: y(share * most), y2: y(share * most) }), text(left - 6, y(share * most) + 3.5, ms(share * most), "end"));
  }
  const points = good.map((t) => [x(t.at), y(t.rtt_ms)]);
  if (points.length > 1) chart.append(svg("path", { class: "line", d: path(points) }));
  if (points.length < 60) for (const [px, py] of points) chart.append(svg("circle", { class: "dot", cx: px, cy: py, r: 1.9 }));
  for (const t of list) if (t.rtt_ms === null) chart.append(svg("path", { class: "miss", d: `M${x(t.at) - 3.5} ${h - bottom - 7}l7 7m0 -7l-7 7` }));
  chart.append(text(left, h - 2, timeOf(first), "start"), text(w, h - 2, timeOf(last), "end"));
  return chart;
}

const dayLength = 24 * 3600e3;

// timeline draws in which status an agent was in the last day, or since it is known: each in its
// colour and at its height.
export function timeline(agent, changes) {
  const w = 330, h = 48, now = Date.now(), bar = { active: 20, pending: 13, disconnected: 7, never_connected: 3 };
  const steps = [...changes].filter((c) => c.kind === "status_change").reverse();
  const began = steps.length ? Date.parse(steps[0].at) : Date.parse(agent.since);
  const first = Math.max(Math.min(steps.length ? began - (now - began) * 0.06 : began, now - 60e3), now - dayLength);
  const x = (t) => Math.max(((t - first) / (now - first)) * w, 0);
  const chart = svg("svg", { viewBox: `0 0 ${w} ${h}`, class: "chart", role: "img",
    "aria-label": `Timeline: ${steps.length} status changes, ${statusWords[agent.status]} now` });
  const put = (status, from, to) => {
    if (to < first) return;
    const height = bar[status] ?? 3;
    const rect = svg("rect", { x: x(from), y: 26 - height, width: Math.max(x(to) - x(from), 1), height, class: `s-${status}` });
    rect.append(svg("title", {}, `${statusWords[status]} from ${whenOf(Math.max(from, first))} to ${whenOf(to)}`));
    chart.append(rect);
  };
  if (steps.length) put(steps[0].from, first, began);
  steps.forEach((c, i) => put(c.to, Date.parse(c.at), i + 1 < steps.length ? Date.parse(steps[i + 1].at) : now));
  if (!steps.length) put(agent.status, first, now);
  chart.append(svg("line", { class: "grid", x1: 0, x2: w, y1: 26.5, y2: 26.5 }));
  for (const c of changes) if (c.kind === "agent_flapping") chart.append(text(x(Date.parse(c.at)), 8, "flapping", "middle"));
  chart.append(text(0, h - 8, whenOf(first), "start"), text(w, h - 8, "now", "end"));
  return chart;
}

const text = (x, y, words, anchor) => svg("text", { x, y, "text-anchor": anchor }, words);
const ms = (v) => (v === 0 ? "0" : v >= 1000 ? `${v / 1000} s` : `${+v.toFixed(2)} ms`);

// nice is the next round number.
function nice(v) {
  const power = 10 ** Math.floor(Math.log10(v));
  return [1, 2, 5, 10].map((f) => f * power).find((n) => n >= v) ?? v;
}
