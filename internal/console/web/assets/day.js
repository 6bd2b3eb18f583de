// The fleet over the last day: how many agents were away, minute by minute.
import { $, count, say, svg } from "./dom.js";
import { getJSON } from "./api.js";

const period = 60e3;
const height = 44;
const clock = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

export class Day {
  constructor() {
    const chart = $("day-chart");
    chart.addEventListener("pointermove", (e) => this.point((e.clientX - chart.getBoundingClientRect().left) / chart.clientWidth));
    chart.addEventListener("pointerleave", () => this.sum());
    setInterval(() => { if (!document.hidden) this.refresh(); }, period);
    addEventListener("visibilitychange", () => { if (!document.hidden) this.refresh(); });
  }

  async refresh() {
    try { this.draw(await getJSON("day")); } catch { /* the page says that Pulse does not answer */ }
  }

  // setNow changes the last point to the present counts.
  setNow(agents) {
    const now = [agents.active, agents.disconnected, agents.pending, agents.never_connected], last = this.points?.at(-1);
    if (!last || last.every((n, i) => n === now[i])) return;
    this.draw({ from: this.from, period_s: this.step / 1000, points: [...this.points.slice(0, -1), now] });
  }

  draw({ from, period_s: step, points }) {
    this.points = points; this.from = new Date(from).getTime(); this.step = step * 1000;
    const whole = 86400 / step, first = whole - points.length; // a node without a store knows no earlier ones
    const away = points.map((p) => p[1]), most = Math.max(...away, 1);
    const chart = svg("svg", { viewBox: `0 0 ${whole} ${height}`, class: "chart", preserveAspectRatio: "none", role: "img", "aria-labelledby": "day-words" });
    for (let hour = 1; hour < 24; hour++) chart.append(svg("path", { class: hour % 6 ? "hour" : "hour sixth", d: `M${hour * whole / 24} 0V${height}`, "vector-effect": "non-scaling-stroke" }));
    // A step keeps what lasted a minute.
    const line = away.map((n, i) => `L${first + i} ${y(n, most)}L${first + i + 1} ${y(n, most)}`).join("");
    if (away.length) chart.append(svg("path", { class: "away", d: `M${first} ${height}${line}L${whole} ${height}Z` }));
    $("day-chart").replaceChildren(chart);
    this.sum();
  }

  timeOf(i) { return clock.format(new Date(this.from + i * this.step)); }

  // sum shows the day in a few words.
  sum() {
    if (!this.points?.length) return;
    const away = this.points.map((p) => p[1]), most = Math.max(...away);
    const begins = this.points.length < 86400e3 / this.step ? `, known since ${this.timeOf(0)}` : "";
    say($("day-words"), most ? `at most ${count(most)}, at ${this.timeOf(away.lastIndexOf(most))}; now ${count(away.at(-1))}${begins}` : `none${begins}`);
  }

  // point shows the minute at a share of the chart's width.
  point(share) {
    if (!this.points) return;
    const i = Math.floor(share * (86400e3 / this.step)) - (86400e3 / this.step - this.points.length), p = this.points[i];
    if (p) say($("day-words"), `${this.timeOf(i)}: ${count(p[1])} disconnected, ${count(p[0])} active`);
  }
}

const y = (n, most) => (n ? height - 2 - (n / most) * (height - 8) : height).toFixed(1);
