// The dashboard: joins its parts.
import { $, count, el, glyph, plural, rarely, span, statuses, statusWords } from "./dom.js";
import { follow, get } from "./api.js";
import { Fleet } from "./fleet.js";
import { FleetMap } from "./map.js";
import { Feed } from "./feed.js";
import { AgentPanel } from "./agent.js";
import { NodeCards } from "./node.js";
import { showList } from "./list.js";
import { matcher, read, view, write } from "./filter.js";

const began = performance.now();
const fleet = new Fleet();
const map = new FleetMap(fleet, { open: (row) => openAgent(fleet.ids[row]), narrow, said: (text) => { $("pointed").textContent = text; } });
const feed = new Feed((id) => openAgent(id));
const panel = new AgentPanel(() => openAgent(""));
const node = new NodeCards();
let summary = null, astray = 0, lastLoss = 0;

function openAgent(id) {
  view.agent = id;
  write(true);
  panel.open(id, true);
  if (!id) (panel.back?.isConnected ? panel.back : $("search")).focus({ preventScroll: true });
  map.drawOver();
}

function narrow(key) {
  const word = key ? `${view.by === "group" ? "group" : "net"}:${key}` : "";
  view.q = view.q === word ? "" : word;
  apply(true);
}

// apply shows what the view says.
function apply(step = false) {
  write(step);
  if (document.activeElement !== $("search") || step) $("search").value = view.q;
  $("by").value = view.by;
  $("view-map").setAttribute("aria-pressed", String(!view.list));
  $("view-list").setAttribute("aria-pressed", String(view.list));
  $("map").hidden = view.list;
  $("legend").hidden = view.list;
  $("list").hidden = !view.list;
  sift();
  counts();
}

// sift looks for what matches.
function sift() {
  const match = matcher(fleet);
  let n = 0;
  if (match) for (const row of fleet.rows.values()) n += match(row);
  $("matched").textContent = match ? `${plural(n, "agent")} of ${count(fleet.size)} match` : "";
  $("matched").dataset.count = match ? n : fleet.size;
  if (view.list) showList(fleet, match, (row) => openAgent(fleet.ids[row]));
  map.filter(match);
}
const siftSoon = rarely(sift, 300);

// counts shows the fleet in one line.
function counts() {
  const n = { active: 0, disconnected: 0, pending: 0, never_connected: 0 };
  for (const row of fleet.rows.values()) n[statuses[fleet.status[row]]]++;
  const box = $("counts");
  if (!box.children.length) {
    for (const status of statuses) {
      box.append(el("button", { type: "button", class: status, title: `Show only those that are ${statusWords[status]}`, onclick: () => toggle(status) },
        glyph(status), el("b", {}), el("span", {}, statusWords[status])));
      $("share").append(el("i", { class: status }));
      $("share").lastChild.style.background = `var(--${status === "never_connected" ? "never" : status})`;
      $("legend").append(el("li", {}, glyph(status), statusWords[status]));
    }
    $("legend").append(el("li", {}, matchMedia("(pointer: coarse)").matches ? "tap a cell for its agent, a title for its block" : "click a cell for its agent, a title for its block"));
  }
  statuses.forEach((status, i) => {
    const button = box.children[i];
    button.classList.toggle("some", n[status] > 0);
    button.setAttribute("aria-pressed", String(view.status.has(status)));
    button.querySelector("b").textContent = count(n[status]);
    $("share").children[i].style.flexGrow = n[status];
  });
  verdict(n);
}

function toggle(status) {
  if (!view.status.delete(status)) view.status.add(status);
  apply(true);
}

// verdict says in a word how the fleet is.
function verdict(n) {
  const box = $("verdict"), outage = summary?.outage;
  const recent = Date.now() - lastLoss < 60e3;
  const [kind, words] = outage ? ["outage", `Fleet outage for ${span(Date.now() - Date.parse(outage.since))}: ${count(outage.agents_lost)} of ${count(outage.agents_watched)} lost at first`]
    : n.disconnected ? ["some", recent ? "Losses just now" : `${plural(n.disconnected, "agent")} away`] : n.active || n.pending ? ["calm", "Calm"] : ["none", "Nobody is connected"];
  box.className = `verdict ${kind}`;
  const place = box.querySelector(".words");
  if (place.textContent !== words) place.textContent = words;
  document.title = outage ? "OUTAGE · Pulse" : n.disconnected ? `${count(n.disconnected)} lost · Pulse` : "Pulse";
}

function changes(events) {
  let moved = false;
  for (const e of events) {
    if (e.kind !== "status_change") continue;
    const change = fleet.change(e);
    moved ||= change.moved;
    if (change.row >= 0 && events.length <= 40) map.flash(change.row);
    if (e.to === "disconnected" && e.reason !== "agent_shutdown") lastLoss = Date.now();
  }
  feed.add(events);
  if (moved) map.relayout(); else map.redraw();
  if (view.status.size || view.list || view.q) siftSoon();
  counts();
  if (panel.id && events.some((e) => e.id === panel.id)) panel.refresh();
}

function status(s) {
  summary = s;
  node.status(s);
  counts();
  const told = s.agents.active + s.agents.disconnected + s.agents.pending + s.agents.never_connected;
  astray = told === fleet.size ? 0 : astray + 1;
  if (astray > 2) { astray = 0; load(); } // agents were enrolled, of whom no event tells
}

// load looks at the whole fleet.
async function load() {
  const now = await get("map");
  fleet.load(now);
  $("node").textContent = now.node;
  map.layout();
  apply();
  return now.last_event_id;
}

function live(connected) {
  $("live").classList.toggle("lost", !connected);
  const words = connected ? "live" : "reconnecting";
  if ($("live").lastChild.textContent !== words) $("live").lastChild.textContent = words;
}

const events = {
  changes,
  status,
  reset: async () => { await load(); feed.fill((await get("changes?limit=1000")).events); },
  dropped: () => load(),
};

async function start() {
  read();
  let last;
  for (;;) {
    try { last = await load(); break; } catch { live(false); await new Promise((done) => setTimeout(done, 1000)); }
  }
  if (view.agent) panel.open(view.agent, false);
  requestAnimationFrame(() => { document.documentElement.dataset.drawn = Math.round(performance.now() - began); });
  get("changes?limit=1000").then((c) => feed.fill(c.events)).catch(() => {});
  get("series").then((s) => node.fill(s)).catch(() => {});
  follow(last, { event: (kind, data) => events[kind]?.(data), state: live });
}

$("search").addEventListener("input", rarely(() => { view.q = $("search").value; apply(); }, 120));
$("by").addEventListener("change", () => { view.by = $("by").value; apply(true); map.layout(); });
for (const list of [true, false]) $(list ? "view-list" : "view-map").addEventListener("click", () => { view.list = list; apply(true); if (!list) map.layout(); });
addEventListener("popstate", () => { read(); apply(); map.layout(); panel.open(view.agent, false); });
addEventListener("keydown", (e) => {
  if (e.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName)) { e.preventDefault(); $("search").focus(); }
  if (e.key === "Escape" && view.agent && document.activeElement === document.body) openAgent("");
});
start();
