// The latest changes: who, what, why, and how soon it was known.
import { $, age, el, glyph, count, plural, timeOf, span } from "./dom.js";
import { hostText, isLoss, outageWords, soonText, verbOf, whyOf } from "./words.js";
import { networkOf } from "./fleet.js";
import { isKilledInSilence } from "./silences.js";

const most = 150; // entries that are kept
const storm = 25; // more changes at once are summarized

export class Feed {
  constructor(open) {
    this.open = open;
    this.list = $("changes");
    this.news = [];
    $("losses").addEventListener("change", () => this.applyFilter());
  }

  // replaceEvents shows events of before, newest first.
  replaceEvents(events) {
    this.list.replaceChildren(...groupByTime(events).flatMap((all) => (all.length > storm ? this.summarizeEvents(all.reverse()).reverse() : all.map((e) => this.newEntry(e)))).slice(0, most));
    this.applyFilter();
    this.showNewest([...events].reverse());
  }

  // addEvents adds new events, oldest first.
  addEvents(events) {
    const entries = events.length > storm ? this.summarizeEvents(events) : events.map((e) => this.newEntry(e));
    for (const entry of entries) {
      entry.classList.add("fresh");
      entry.dataset.shown = String(Date.now());
      this.list.prepend(entry);
    }
    while (this.list.children.length > most) this.list.lastChild.remove();
    this.applyFilter();
    this.showNewest(events);
    this.announceLosses(events);
  }

  applyFilter() {
    const only = $("losses").checked;
    let shown = 0;
    for (const entry of this.list.children) {
      entry.hidden = only && !entry.dataset.loss;
      shown += !entry.hidden;
    }
    $("quiet").hidden = shown > 0;
  }

  // showNewest shows the newest of events, oldest first, in one line: the first screen of a phone has
  // no room for the list.
  showNewest(events) {
    const e = events.findLast((one) => one.kind === "status_change" || one.kind === "fleet_outage" || one.kind === "node_lost");
    $("newest").hidden = !e && !$("newest").firstChild;
    if (!e) return;
    const same = events.filter((one) => one.kind === e.kind && one.to === e.to && one.reason === e.reason && Math.abs(Date.parse(one.known_at) - Date.parse(e.known_at)) < 1500).length;
    const who = e.kind === "fleet_outage" ? el("b", {}, "Fleet outage") : e.kind === "node_lost" ? el("b", {}, `Node ${e.node} lost`) : same > 3 ? el("b", {}, plural(same, "agent")) : this.newNameButton(e);
    $("newest").replaceChildren(glyph(e.to ?? "disconnected"), el("span", { class: "words" }, who, e.kind === "status_change" ? ` ${verbOf(e)}` : ""), age(e.known_at));
  }

  // announceLosses tells screen readers of losses, in one sentence and at most every 2 s.
  announceLosses(events) {
    this.news.push(...events.filter(isLoss));
    if (this.announcing || !this.news.length) return;
    this.announcing = setTimeout(() => {
      this.announcing = 0;
      const [first] = this.news;
      $("news").textContent = this.news.length === 1 && first.name ? `${first.name} lost: ${whyOf(first)}` : `${plural(this.news.length, "loss").replace("losss", "losses")}`;
      this.news = [];
    }, 2000);
  }

  newEntry(e) {
    const time = el("time", { datetime: e.known_at, title: `happened ${e.at}\nknown ${e.known_at}` }, timeOf(e.known_at));
    const props = { "data-seq": String(e.seq), "data-loss": isLoss(e) ? "1" : null, "data-known": String(Date.parse(e.known_at)) };
    switch (e.kind) {
      case "status_change":
        return el("li", isKilledInSilence(e) ? { ...props, class: "grave" } : props, glyph(e.to), el("div", { class: "who" }, this.newNameButton(e), el("span", { class: "dim" }, [verbOf(e), e.ip, e.node].filter(Boolean).join(" · "))), time,
          el("div", { class: "why" }, [whyOf(e), hostText(e), e.status_changes ? `the last of ${count(e.status_changes)} changes` : "", soonText(e), e.outage ? "part of the outage" : "", silenceText(e)].filter(Boolean).join(" · ")));
      case "agent_away":
        return el("li", { ...props, class: "grave" }, glyph("disconnected"), el("div", { class: "who" }, this.newNameButton(e), el("span", { class: "dim" }, `away for ${span(e.away_for * 1000)}`)), time,
          el("div", { class: "why" }, [whyOf(e), hostText(e)].filter(Boolean).join(" · ")));
      case "agent_flapping":
        return el("li", props, glyph("pending"), el("div", { class: "who" }, this.newNameButton(e), el("span", { class: "dim" }, "flaps")), time,
          el("div", { class: "why" }, `${e.status_changes} status changes: its alerts are held until it is stable`));
      case "fleet_outage":
        return el("li", { ...props, class: "grave" }, glyph("disconnected"), el("b", {}, "Fleet outage"), time, el("div", { class: "why" }, outageWords(e.fleet)));
      case "fleet_recovered":
        return el("li", props, glyph("active"), el("b", {}, "Fleet recovered"), time,
          el("div", { class: "why" }, `${count(e.fleet.agents_back)} of ${count(e.fleet.agents_lost)} lost agents are back`));
      case "node_lost":
        return el("li", { ...props, class: "grave" }, glyph("disconnected"), el("b", {}, `Node ${e.node} lost`), time,
          el("div", { class: "why" }, `silent, with ${plural(e.agents ?? 0, "agent")}: another node takes note of those that do not appear elsewhere`));
      case "node_back":
        return el("li", props, glyph("active"), el("b", {}, `Node ${e.node} back`), time, el("div", { class: "why" }, `with ${plural(e.agents ?? 0, "agent")}`));
      case "agent_duplicated":
        return el("li", { ...props, class: "grave" }, glyph("pending"), el("div", { class: "who" }, this.newNameButton(e), el("span", { class: "dim" }, "on several machines")), time,
          el("div", { class: "why" }, (e.machines ?? []).map((m) => `${m.ip_address} at ${m.node}`).join(", ")));
      default:
        return el("li", props, glyph("pending"), el("b", {}, "Pulse itself was stopped or starved"), time,
          el("div", { class: "why" }, `for ${span(e.away_ms)}: every deadline moved by that much`));
    }
  }

  newNameButton(e) { return el("button", { type: "button", class: "link", title: `${e.name} (${e.id})`, onclick: () => this.open(e.id) }, e.name || e.id); }

  // summarizeEvents returns one entry for each status and reason.
  summarizeEvents(events) {
    const kinds = new Map(), entries = [];
    for (const e of events) {
      if (e.kind !== "status_change") { entries.push(this.newEntry(e)); continue; }
      if (isKilledInSilence(e)) { entries.push(this.newEntry(e)); continue; }
      const key = `${e.to} ${e.reason} ${e.outage ?? ""} ${e.silenced ?? ""} ${e.node ?? ""}`;
      if (!kinds.has(key)) kinds.set(key, []);
      kinds.get(key).push(e);
    }
    for (const same of kinds.values()) {
      if (same.length < 4) { entries.push(...same.map((e) => this.newEntry(e))); continue; }
      const nets = new Map();
      for (const e of same) nets.set(networkOf(e.ip), (nets.get(networkOf(e.ip)) ?? 0) + 1);
      const where = [...nets].filter(([net]) => net).sort((a, b) => b[1] - a[1]).slice(0, 3).map(([net, n]) => `${count(n)} in ${net}`).join(", ");
      const last = same.at(-1);
      entries.push(el("li", { "data-seq": String(last.seq), "data-loss": isLoss(last) ? "1" : null, "data-known": String(Date.parse(last.known_at)) },
        glyph(last.to), el("div", { class: "who" }, el("b", {}, plural(same.length, "agent")), el("span", { class: "dim" }, verbOf(last).replace(/^is /, "are "))),
        el("time", { datetime: last.known_at }, timeOf(last.known_at)),
        el("div", { class: "why" }, [whyOf(last), where, last.outage ? "part of the outage" : "", silenceText(last)].filter(Boolean).join(" · "))));
    }
    return entries;
  }
}

// silenceText returns what a silence has to do with a change.
function silenceText(e) {
  if (isKilledInSilence(e)) return "killed while it is silenced: its host still answers";
  return e.silenced ? "silenced" : "";
}

// groupByTime splits events into those within 1.5 s of one another.
function groupByTime(events) {
  const all = [];
  let since = 0;
  for (const e of events) {
    const at = Date.parse(e.known_at);
    if (!all.length || Math.abs(since - at) > 1500) { all.push([]); since = at; }
    all.at(-1).push(e);
  }
  return all;
}
