// The fleet as a table: sorted by any column, a page at a time, and as CSV.
import { $, age, count, el, glyph, rarely, say, statuses, statusWords, tick } from "./dom.js";
import { gone, sortKey } from "./fleet.js";
import { view } from "./filter.js";

const pageSize = 100;
const order = [2, 0, 1, 3]; // of statuses: disconnected and pending agents first
const timesPeriod = (fleet) => (fleet.size > 20_000 ? 60e3 : 10e3);

// columns has for each column its title, what it is sorted by, and its cell. The first three and
// those with a where that holds are shown.
const columns = {
  name: { title: "Agent", by: (f, row) => f.names[row].toLowerCase() },
  status: { title: "Status", by: (f, row) => order[f.status[row]] },
  since: { title: "Since", by: (f, row) => f.since[row] ?? 0, cell: (f, row) => timeCell(f.since[row], "") },
  last_seen: { title: "Last seen", by: (f, row) => f.seen[row] ?? 0, cell: (f, row) => f.seen[row] === undefined ? "" : timeCell(f.seen[row], "never") },
  ip: { title: "Address", by: (f, row) => sortKey(f.ips[row]), cell: (f, row) => f.ips[row] },
  id: { title: "ID", by: () => "", cell: (f, row) => f.ids[row] },
  node: { title: "Node", by: (f, row) => f.nodeOf(row), cell: (f, row) => f.nodeOf(row), where: (f) => f.clustered },
  group: { title: "Group", by: (f, row) => f.groupOf(row), cell: (f, row) => f.groupOf(row), where: (f) => f.groupNames.length > 0 },
  wazuh_groups: { title: "Wazuh groups", by: (f, row) => f.infoOf(row).groups.join(), cell: (f, row) => f.infoOf(row).groups.join(", "), where: (f) => f.hasInfos },
  os: { title: "System", by: (f, row) => f.infoOf(row).os, cell: (f, row) => f.infoOf(row).os, where: (f) => f.hasInfos },
  version: { title: "Version", by: (f, row) => f.infoOf(row).version.replace(/\d+/g, (n) => n.padStart(6, "0")), cell: (f, row) => f.infoOf(row).version, where: (f) => f.hasInfos },
};
const byTime = ["since", "last_seen"]; // the latest first, with the first click

function timeCell(seconds, without) {
  return seconds ? el("time", { datetime: new Date(seconds * 1000).toISOString(), title: new Date(seconds * 1000).toLocaleString() }, age(seconds * 1000)) : without;
}

export class AgentList {
  // on has open(row), changed(), which is called when another order or page is wanted, and
  // load(), which reads the times of the fleet.
  constructor(fleet, on) {
    this.fleet = fleet; this.on = on; this.match = null;
    this.show = rarely(() => this.draw(), 50);
    $("csv").addEventListener("click", () => this.save());
    for (const [id, step] of [["page-back", -1], ["page-on", 1]]) $(id).addEventListener("click", () => { view.page += step; this.draw(); on.changed(); $("list").scrollTop = 0; });
    tick(() => { if (view.list && !document.hidden) this.refreshTimes(); });
  }

  // filter shows the agents that match.
  filter(match) {
    this.match = match;
    if (!view.list) return;
    this.refreshTimes();
    this.show();
  }

  async refreshTimes(now = false) {
    if (this.loading || !now && Date.now() - (this.loadedAt ?? 0) < timesPeriod(this.fleet)) return;
    this.loading = true;
    try {
      await this.on.load();
      this.loadedAt = Date.now();
      this.show();
    } catch { this.loadedAt = Date.now(); /* tried again after the period */ } finally { this.loading = false; }
  }

  // find returns the rows that match, in the order of the view.
  find() {
    const { fleet, match } = this, down = view.sort.startsWith("-") ? -1 : 1, { by } = columns[view.sort.replace("-", "")] ?? columns.status;
    const rows = [], keys = [];
    for (let row = 0; row < fleet.ids.length; row++) {
      if (fleet.status[row] === gone || match && !match(row)) continue;
      rows.push(row);
      keys[row] = by(fleet, row);
    }
    const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
    return rows.sort((a, b) => down * (compare(keys[a], keys[b]) || compare(fleet.ids[a].length, fleet.ids[b].length) || compare(fleet.ids[a], fleet.ids[b])));
  }

  draw() {
    if (!view.list) return;
    const rows = this.find(), pages = Math.max(Math.ceil(rows.length / pageSize), 1);
    view.page = Math.max(1, Math.min(view.page, pages));
    const from = (view.page - 1) * pageSize, shown = rows.slice(from, from + pageSize);
    say($("page-words"), rows.length ? `${count(from + 1)}–${count(from + shown.length)} of ${count(rows.length)}` : "none");
    $("page-back").disabled = view.page === 1;
    $("page-on").disabled = view.page === pages;
    this.drawTable(shown);
  }

  // drawTable draws the table, unless it is there: a button that is replaced while it is pressed
  // is not clicked.
  drawTable(rows) {
    const { fleet } = this, names = Object.keys(columns).filter((name) => columns[name].where?.(fleet) ?? true);
    const key = JSON.stringify([view.sort, names, rows.map((row) => [fleet.ids[row], fleet.names[row], fleet.status[row], fleet.silenced.has(row), fleet.since[row], fleet.seen[row], fleet.ips[row], fleet.nodes[row], fleet.groups[row], fleet.info[row]])]);
    if (key === this.drawn) return;
    this.drawn = key;
    const box = $("list"), top = box.scrollTop, focused = box.contains(document.activeElement) ? document.activeElement.dataset.key : "";
    box.replaceChildren(el("table", {}, el("thead", {}, el("tr", {}, ...names.map((name) => this.newHead(name)))), el("tbody", {}, ...rows.map((row) => this.newRow(row, names)))));
    box.scrollTop = top;
    if (focused) box.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }

  newHead(name) {
    const sorted = view.sort.replace("-", "") === name, down = view.sort.startsWith("-");
    const next = sorted ? (down ? name : `-${name}`) : byTime.includes(name) ? `-${name}` : name;
    return el("th", { scope: "col", "aria-sort": sorted ? (down ? "descending" : "ascending") : null },
      el("button", { type: "button", class: "sort", "data-key": `sort:${name}`, onclick: () => { view.sort = next; view.page = 1; this.draw(); this.on.changed(); } },
        columns[name].title, el("span", { "aria-hidden": "true" }, sorted ? (down ? " ▾" : " ▴") : "")));
  }

  newRow(row, names) {
    const { fleet } = this, status = statuses[fleet.status[row]];
    const first = {
      name: () => el("button", { type: "button", class: "link", "data-key": fleet.ids[row], onclick: () => this.on.open(row) }, fleet.names[row] || fleet.ids[row]),
      status: () => el("span", {}, el("span", { class: "status" }, glyph(status), statusWords[status]), fleet.silenced.has(row) ? el("span", { class: "badge silenced" }, "silenced") : ""),
    };
    return el("tr", {}, ...names.map((name) => el("td", {}, first[name]?.() ?? columns[name].cell(fleet, row))));
  }

  // save saves the agents that match, in the order of the list, on all pages.
  async save() {
    await this.refreshTimes(true);
    const text = newCSV(this.fleet, this.find(), $("node").textContent);
    const link = el("a", { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })), download: `agents-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}.csv` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60e3);
  }
}

// newCSV returns agents as CSV (RFC 4180).
function newCSV(f, rows, node) {
  const time = (seconds) => (seconds ? new Date(seconds * 1000).toISOString() : "");
  const lines = [["id", "name", "status", "since", "last_seen", "ip", "node", "group", "wazuh_groups", "os", "agent_version", "silenced"]];
  for (const row of rows) {
    const info = f.infoOf(row);
    lines.push([f.ids[row], f.names[row], statuses[f.status[row]], time(f.since[row]), time(f.seen[row]), f.ips[row], f.nodeOf(row) || node, f.groupOf(row), info.groups.join(" "), info.os, info.version, f.silenced.has(row) ? "yes" : "no"]);
  }
  return lines.map((line) => `${line.map(quoteField).join(",")}\r\n`).join("");
}

// quoteField returns a field of CSV. Agents name themselves, and a spreadsheet would compute what
// looks like a formula.
function quoteField(text) {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
