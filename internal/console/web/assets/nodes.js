// The nodes of the cluster.
import { $, count, el, plural, say, span } from "./dom.js";

const late = 3; // missed beats

export class NodeList {
  // narrow is called with the name of a node that was clicked.
  constructor(narrow) { this.narrow = narrow; }

  // troubleOf returns what is wrong with the nodes in a few words; "" for nothing.
  static troubleOf(cluster) {
    const lost = (cluster?.nodes ?? []).filter((n) => n.state === "lost").map((n) => n.name);
    if (cluster?.nodes.some((n) => n.state === "cut_off")) return "Cut off from the other nodes";
    return lost.length ? `${lost.length > 2 ? plural(lost.length, "node") : `Node ${lost.join(" and ")}`} lost` : "";
  }

  // draw draws the nodes, as they were reported some milliseconds ago; nothing outside a cluster.
  draw(cluster, ago = 0) {
    $("nodes").hidden = !cluster;
    if (!cluster) return;
    const self = cluster.nodes.find((n) => n.self), cut = self?.state === "cut_off";
    $("cut-off").hidden = !cut;
    if (cut) say($("cut-off"), `This node is cut off from the others for ${span(self.beat_age_s * 1000 + ago)}: what it shows of them is as old.`);
    const rows = cluster.nodes.map((n) => [n, stateOf(n, ago)]);
    const seen = JSON.stringify(rows.map(([n, state]) => [n.name, n.role, n.agents, state]));
    if (seen === this.seen) return;
    this.seen = seen;
    const focused = document.activeElement?.dataset?.node;
    $("node-rows").replaceChildren(...rows.map(([n, state]) => el("tr", { class: n.state, "data-node-row": n.name },
      el("td", {}, el("button", { type: "button", class: "link", "data-node": n.name, title: `Pulse ${n.version}: show only its agents`, onclick: () => this.narrow(n.name) }, n.name),
        n.self ? el("span", { class: "dim" }, " this one") : ""),
      el("td", { class: "dim" }, n.role), el("td", { class: "number", title: plural(n.agents, "agent") }, count(n.agents)), el("td", { class: n.state === "up" ? "dim" : "bad" }, state))));
    if (focused) [...$("node-rows").querySelectorAll("button")].find((b) => b.dataset.node === focused)?.focus({ preventScroll: true });
  }
}

// stateOf returns the state of a node in words. One that is only late for a beat is up.
function stateOf(n, ago) {
  switch (n.state) {
    case "lost": return `${n.coarse ? "lost, its manager works" : "lost"}, silent ${span(n.beat_age_s * 1000)}`;
    case "cut_off": return "cut off";
    case "unknown": return "unknown";
    default: return n.missed_beats >= late ? `late, ${count(n.missed_beats)} beats missed` : "up";
  }
}
