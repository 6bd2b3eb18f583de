// The dashboard: connects its parts.
import { $, count, el, glyph, plural, rarely, say, span, statuses, statusWords, tick } from "./dom.js";
import { getJSON } from "./api.js";
import { followEvents } from "./stream.js";
import { Connection } from "./connection.js";
import { Fleet } from "./fleet.js";
import { FleetMap } from "./map.js";
import { Feed } from "./feed.js";
import { AgentPanel } from "./agent.js";
import { NodeCards } from "./node.js";
import { Day } from "./day.js";
import { NodeList } from "./nodes.js";
import { AgentList } from "./list.js";
import { Killed, Silences } from "./silences.js";
import { newMatcher, problemOf, readView, view, writeView } from "./filter.js";

const began = performance.now();
const fleet = new Fleet();
const map = new FleetMap(fleet, { open: (row) => openAgent(fleet.ids[row]), narrow: toggleBlock, said: (text) => { $("pointed").textContent = text; } });
const feed = new Feed((id) => openAgent(id));
const list = new AgentList(fleet, { open: (row) => openAgent(fleet.ids[row]), changed: () => writeView(true), load: async () => fleet.loadTimes(await getJSON("times")) });
const silences = new Silences();
const killed = new Killed((id) => openAgent(id));
const panel = new AgentPanel(() => openAgent(""), (id) => silences.open(id));
const node = new NodeCards();
const day = new Day();
const connection = new Connection(() => drawVerdict(counted));
const nodes = new NodeList((name) => toggleWord(`node:${name}`));
let summary = null, counted = { active: 0, disconnected: 0, pending: 0, never_connected: 0 }, mismatches = 0, lastLoss = 0, silencedBefore = null;

function openAgent(id) {
  view.agent = id;
  writeView(true);
  panel.open(id, true);
  if (!id) (panel.back?.isConnected ? panel.back : $("search")).focus({ preventScroll: true });
  map.drawOver();
}

function toggleBlock(key) {
  toggleWord(key ? `${{ group: "group", node: "node" }[view.by] ?? "net"}:${key}` : "");
}

function toggleWord(word) {
  view.q = view.q === word ? "" : word;
  view.page = 1;
  applyView(true);
}

// applyView draws the view.
function applyView(step = false) {
  writeView(step);
  if (document.activeElement !== $("search") || step) $("search").value = view.q;
  $("by").value = view.by;
  $("view-map").setAttribute("aria-pressed", String(!view.list));
  $("view-list").setAttribute("aria-pressed", String(view.list));
  $("map").hidden = view.list;
  $("legend").hidden = view.list;
  $("list").hidden = $("pages").hidden = !view.list;
  applyFilter();
  drawCounts();
}

// applyFilter finds the agents that match the view.
function applyFilter() {
  const match = newMatcher(fleet), problem = problemOf(fleet);
  let n = 0;
  if (match) for (const row of fleet.rows.values()) n += match(row);
  $("matched").textContent = problem || (match ? `${plural(n, "agent")} of ${count(fleet.size)} match` : "");
  $("matched").classList.toggle("bad", problem !== "");
  $("matched").dataset.count = match ? n : fleet.size;
  list.filter(match);
  map.filter(match);
}
const filterSoon = rarely(applyFilter, 300);

// drawCounts draws the number of agents in each status.
function drawCounts() {
  const n = { active: 0, disconnected: 0, pending: 0, never_connected: 0 };
  for (const row of fleet.rows.values()) n[statuses[fleet.status[row]]]++;
  const box = $("counts");
  if (!box.children.length) {
    for (const status of statuses) {
      box.append(el("button", { type: "button", class: status, title: `Show only those that are ${statusWords[status]}`, onclick: () => toggleStatus(status) },
        glyph(status), el("b", {}), el("span", {}, statusWords[status])));
      $("share").append(el("i", { class: status }));
      $("share").lastChild.style.background = `var(--${status === "never_connected" ? "never" : status})`;
      $("legend").append(el("li", {}, glyph(status), statusWords[status]));
    }
    $("legend").append(el("li", {}, matchMedia("(pointer: coarse)").matches ? "tap a cell for its agent, a title, or one of many small cells, for its block" : "click a cell for its agent, a title for its block"));
  }
  statuses.forEach((status, i) => {
    const button = box.children[i];
    button.classList.toggle("some", n[status] > 0);
    button.setAttribute("aria-pressed", String(view.status.has(status)));
    button.querySelector("b").textContent = count(n[status]);
    $("share").children[i].style.flexGrow = n[status];
  });
  counted = n;
  drawVerdict(n);
}

function toggleStatus(status) {
  if (!view.status.delete(status)) view.status.add(status);
  view.page = 1;
  applyView(true);
}

// drawVerdict draws the state of the fleet in a few words.
function drawVerdict(n) {
  const [kind, words] = judgeFleet(n);
  $("verdict").className = `verdict ${kind}`;
  say($("verdict").querySelector(".words"), words);
  drawTitle(n.disconnected, summary?.outage);
}

function judgeFleet(n) {
  const outage = summary?.outage, recent = Date.now() - lastLoss < 60e3, trouble = NodeList.troubleOf(summary?.cluster);
  if (connection.old) return ["old", "No answer from Pulse"];
  if (outage) return ["outage", `Fleet outage for ${span(Date.now() - Date.parse(outage.since))}: ${count(outage.agents_lost)} of ${count(outage.agents_watched)} lost`];
  if (trouble) return ["some", trouble];
  if (n.disconnected) return ["some", recent ? "Agents lost within the last minute" : `${plural(n.disconnected, "agent")} disconnected`];
  return n.active || n.pending ? ["calm", "No agent disconnected"] : ["none", "No agent is connected"];
}

function drawTitle(lost, outage) {
  document.title = connection.old ? connection.title : outage ? "OUTAGE · Pulse" : lost ? `${count(lost)} lost · Pulse` : "Pulse";
}

// A hidden page has no stream of events. Its title is all that is seen of it, and is kept true.
const hiddenPeriod = 30e3;

export async function refreshHiddenTitle() {
  if (!document.hidden) return;
  try {
    const { agents, health } = await getJSON("status");
    connection.heardAt = Date.now();
    if (document.hidden) document.title = health.failures.length ? "TROUBLE · Pulse" : agents.disconnected ? `${count(agents.disconnected)} lost · Pulse` : "Pulse";
  } catch {
    if (document.hidden) document.title = connection.title; // with the time of the last answer
  }
}

function handleChanges(events) {
  let moved = false;
  for (const e of events) {
    if (e.kind !== "status_change") continue;
    const change = fleet.change(e);
    moved ||= change.moved;
    if (change.row >= 0 && events.length <= 40) map.flash(change.row);
    if (e.to === "disconnected" && e.reason !== "agent_shutdown") lastLoss = Date.now();
  }
  feed.addEvents(events);
  killed.addEvents(events);
  if (moved) map.relayout(); else map.redraw();
  if (view.status.size || view.list || view.q) filterSoon();
  drawCounts();
  if (panel.id && events.some((e) => e.id === panel.id)) panel.refresh();
}

function handleStatus(s) {
  summary = s;
  node.status(s);
  day.setNow(s.agents);
  nodes.draw(s.cluster);
  drawLostNodes(s.cluster?.nodes ?? []);
  silences.drawCount(s);
  drawCounts();
  const told = s.agents.active + s.agents.disconnected + s.agents.pending + s.agents.never_connected;
  if ((silencedBefore ?? fleet.silenced.size) !== s.agents_silenced) loadFleet(); // a silence began or ended, for which there are no events
  silencedBefore = s.agents_silenced;
  mismatches = told === fleet.size ? 0 : mismatches + 1;
  if (mismatches > 2) { mismatches = 0; loadFleet(); } // agents were enrolled, for which there are no events
}

// drawLostNodes marks the blocks of nodes that are lost.
function drawLostNodes(list) {
  const lost = new Set(list.filter((n) => n.state === "lost").map((n) => n.name));
  if (lost.size === fleet.lostNodes.size && [...lost].every((name) => fleet.lostNodes.has(name))) return;
  fleet.lostNodes = lost;
  map.redraw();
}

// Groups and systems change without an event.
const reloadPeriod = 600e3;

// loadFleet reads the whole fleet.
async function loadFleet() {
  const now = await getJSON("map");
  fleet.load(now);
  $("node").textContent = now.node;
  if (fleet.clustered) offerNodes();
  map.layout();
  applyView();
  return now.last_event_id;
}

// offerNodes offers in a cluster what is about its nodes.
function offerNodes() {
  if ($("by").querySelector("[value=node]")) return;
  $("by").append(el("option", { value: "node" }, "node"));
  $("search").placeholder += ", node:node02";
}

function showEventsBefore({ events }) {
  feed.replaceEvents(events);
  killed.replaceEvents(events);
}

const events = {
  changes: handleChanges,
  status: handleStatus,
  reset: async () => { await loadFleet(); showEventsBefore(await getJSON("changes?limit=1000")); },
  dropped: () => loadFleet(),
};

async function startDashboard() {
  readView();
  let last;
  for (;;) {
    try { last = await loadFleet(); break; } catch { connection.set("lost", connection.heardAt); await new Promise((done) => setTimeout(done, 1000)); }
  }
  if (view.agent) panel.open(view.agent, false);
  requestAnimationFrame(() => { document.documentElement.dataset.drawn = Math.round(performance.now() - began); });
  getJSON("changes?limit=1000").then(showEventsBefore).catch(() => {});
  day.refresh();
  getJSON("series").then((s) => node.fill(s)).catch(() => {});
  setInterval(() => { if (!document.hidden) loadFleet().catch(() => {}); }, reloadPeriod);
  followEvents(last, { event: (kind, data) => events[kind]?.(data), state: (word, heardAt, why) => connection.set(word, heardAt, why) });
}

$("search").addEventListener("input", rarely(() => { view.q = $("search").value; view.page = 1; applyView(); }, 120));
$("by").addEventListener("change", () => { view.by = $("by").value; applyView(true); map.layout(); });
for (const asList of [true, false]) $(asList ? "view-list" : "view-map").addEventListener("click", () => { view.list = asList; applyView(true); if (!asList) map.layout(); });
addEventListener("popstate", () => { readView(); applyView(); map.layout(); panel.open(view.agent, false); });
// closeOpen closes what is open, whatever has the focus. A dialog closes by itself.
function closeOpen(e) {
  if (document.querySelector("dialog[open]")) return;
  if (!$("tip").hidden) map.unpoint();
  if (!view.agent) return;
  e.preventDefault(); // the text of the search stays
  openAgent("");
}

addEventListener("keydown", (e) => {
  if (e.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName)) { e.preventDefault(); $("search").focus(); }
  if (e.key === "Escape") closeOpen(e);
});
addEventListener("visibilitychange", () => { if (!document.hidden) drawVerdict(counted); });
setInterval(refreshHiddenTitle, hiddenPeriod);
tick(() => {
  if (document.hidden || !summary) return;
  drawVerdict(counted);
  if (connection.old) nodes.draw(summary.cluster, Date.now() - connection.heardAt);
});
startDashboard();
