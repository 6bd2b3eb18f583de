// The state of the node.
import { $, ago, count, el, plural, span } from "./dom.js";
import { spark } from "./chart.js";

const kept = 720;

export class NodeCards {
  constructor() { this.points = []; }

  fill(series) {
    this.points = series.points;
    if (this.last) this.status(this.last);
  }

  // status draws the node's state.
  status(s) {
    this.last = s;
    if (!this.points.length || this.points.at(-1).at !== s.point.at) this.points = [...this.points, s.point].slice(-kept);
    this.trouble(s.health);
    const n = s.node, link = n.link, nats = n.nats, refused = Object.values(link.refused ?? {}).reduce((a, b) => a + b, 0);
    const late = s.point.sweep_late_ms, depth = s.point.outbox_depth;
    const natsBad = nats.state === "unavailable" || nats.state === "connecting";
    $("pulse").replaceChildren(
      card("Link", link.kind === "attach" ? "attached" : link.kind, link.problem ?? link.attach?.problem ?? linkText(link, refused), Boolean(link.attach?.problem), null, databaseText(link.attach)),
      card("NATS", nats.state, natsBad ? nats.problem || `for ${ago(nats.since)}` : `for ${ago(nats.since)}`, natsBad),
      card("Outbox", depth ? `${count(depth)} waiting` : "empty", nats.state === "embedded" ? "clients read here" : "", false, spark(this.points.map((p) => p.outbox_depth), "Messages waiting, over the last hour")),
      card("Sweep", late < 1 ? "on time" : `${span(late)} late`, "", late > 500, spark(this.points.map((p) => p.sweep_late_ms), "Lateness of the sweep, over the last hour"),
        "How late the detector checks the agents: 99 % of its sweeps were no later"),
      card("Active", count(s.agents.active), "", false, spark(this.points.map((p) => p.agents.active), "Active agents, over the last hour")),
      card("Sequence", count(s.sequence), `up ${span(n.uptime * 1000)}`, false),
    );
  }

  trouble(health) {
    const box = $("trouble"), bad = health.failures.length > 0;
    const lines = [...health.failures, ...health.warnings];
    const words = lines.join("\n");
    box.hidden = !lines.length;
    box.className = bad ? "trouble" : "trouble warn";
    if (words !== this.said) box.replaceChildren(...lines.map((line) => el("p", {}, line)));
    this.said = words;
  }
}

function linkText(link, refused) {
  const words = [plural(link.connections ?? link.attach?.connections ?? 0, "connection")];
  if (refused) words.push(`${count(refused)} refused`);
  if (link.attach?.agents_not_asked) words.push(`${plural(link.attach.agents_not_asked, "agent")} seen in the database only, lost after ${span(link.attach.not_asked_lost_after * 1000)}`);
  return words.join(", ");
}

// databaseText returns what is different for agents that only the manager's database shows.
function databaseText(attach) {
  if (!attach?.agents_not_asked) return "";
  const late = span(attach.not_asked_lost_after * 1000);
  return `Of ${plural(attach.agents, "active agent")}, ${count(attach.agents - attach.agents_not_asked)} can be asked whether they are there, and are known to be lost in seconds. ` +
    `The others (of Wazuh 5) are only seen in the manager's database: their loss is known after ${late} of silence there, whichever way they end without a shutdown.`;
}

function card(title, value, more, bad, chart, about = "") {
  return el("div", { class: bad ? "card bad" : "card", title: about }, el("h3", {}, title), el("b", {}, value), more ? el("small", { title: more }, more) : null, chart);
}
