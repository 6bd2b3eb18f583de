// The state of the node.
import { $, age, count, el, plural, span } from "./dom.js";
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
    const late = s.point.sweep_late_ms, depth = s.point.outbox_depth, linkProblem = link.problem ?? link.attach?.problem;
    const natsBad = nats.state === "unavailable" || nats.state === "connecting";
    $("pulse").replaceChildren(
      card("Link to the agents", linkWords[link.kind] ?? link.kind, linkProblem ?? linkText(link, refused), Boolean(link.attach?.problem), null, databaseText(link.attach)),
      card("XDR platform", natsWords[nats.state] ?? nats.state, natsBad && nats.problem ? nats.problem : age(nats.since, ""), natsBad, null,
        nats.state === "embedded" ? "Consumers read the messages from the NATS server in this node" : "The connection to the NATS server of the XDR platform"),
      card("Messages to send", depth ? `${count(depth)} waiting` : "none waiting", "", false, spark(this.points.map((p) => p.outbox_depth), "Messages that wait, over the last hour"),
        "Messages that the platform has not confirmed yet. They are on disk, and none is lost"),
      card("Checks of the agents", ...lateWords(late), late > tooLate, spark(this.points.map((p) => p.sweep_late_ms), "How late the agents were checked, over the last hour"),
        "How much later than set a silent agent is noticed, since this host or Pulse is busy: 99 % of the checks of the last seconds were no later"),
      card("Active agents", count(s.agents.active), "", false, spark(this.points.map((p) => p.agents.active), "Active agents, over the last hour")),
      card("Messages made", count(s.sequence), ["in ", age(n.started_at, "")], false, null, "By this run of the node, and how long it has lasted"),
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

const linkWords = { attach: "by the manager", listen: "direct" };
const natsWords = { embedded: "reads here", connected: "connected", connecting: "connecting", unavailable: "not reachable" };

// How late a check may be until it is worth a word, and until it is bad. There are ten a second.
const noticeable = 100, tooLate = 500;

// lateWords returns what it means to an operator that checks are late.
export function lateWords(ms) {
  return ms < noticeable ? ["on time", ""] : [`${span(ms)} late`, "losses are noticed as much later"];
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
  return el("div", { class: bad ? "card bad" : "card", title: about }, el("h3", {}, title), el("b", {}, value), more ? el("small", typeof more === "string" ? { title: more } : {}, ...[more].flat()) : null, chart);
}
