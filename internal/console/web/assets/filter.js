// The view: kept in the page's address, so that it can be shared.
import { statuses } from "./dom.js";
import { parseNetwork } from "./fleet.js";

export const view = { q: "", status: new Set(), by: "network", list: false, sort: "status", page: 1, agent: "" };

export function readView() {
  const p = new URLSearchParams(location.search);
  view.q = p.get("q") ?? "";
  view.status = new Set((p.get("status") ?? "").split(",").filter((s) => statuses.includes(s)));
  view.by = ["group", "node"].includes(p.get("by")) ? p.get("by") : "network";
  view.list = p.get("view") === "list";
  view.sort = p.get("sort") ?? "status";
  view.page = Math.max(parseInt(p.get("page") ?? "1", 10) || 1, 1);
  view.agent = p.get("agent") ?? "";
}

// writeView writes the view to the address; the back button undoes a step.
export function writeView(step = false) {
  const p = new URLSearchParams();
  if (view.q) p.set("q", view.q);
  if (view.status.size) p.set("status", statuses.filter((s) => view.status.has(s)).join(","));
  if (view.by !== "network") p.set("by", view.by);
  if (view.list) p.set("view", "list");
  if (view.list && view.sort !== "status") p.set("sort", view.sort);
  if (view.list && view.page > 1) p.set("page", view.page);
  if (view.agent) p.set("agent", view.agent);
  const url = p.size ? `?${p.toString().replaceAll("%2C", ",").replaceAll("%3A", ":").replaceAll("%2F", "/")}` : location.pathname;
  if (url === (location.search || location.pathname)) return;
  history[step ? "pushState" : "replaceState"](null, "", url);
}

const pattern = (text) => new RegExp(`^${text.replace(/[.+^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*").replaceAll("?", ".")}$`, "i");

// fits returns for each kind of filter what reports whether the agent in a row matches.
const fits = {
  name: (fleet, is) => (row) => is(fleet.names[row]),
  ip: (fleet, is) => (row) => is(fleet.ips[row]),
  net: (fleet, is, text) => {
    const contains = parseNetwork(text);
    return contains ? (row) => contains(fleet.ips[row]) : (row) => is(fleet.nets[row]);
  },
  id: (fleet, is) => (row) => is(fleet.ids[row]),
  group: (fleet, is) => either((row) => is(fleet.groupOf(row)), ofInfo(fleet, (info) => info.groups.some(is))),
  node: (fleet, is) => (row) => is(fleet.nodeOf(row)),
  os: (fleet, is, text) => ofInfo(fleet, (info) => info.os !== "" && (isPattern(text) ? is(info.os) : info.os.toLowerCase().includes(text.toLowerCase()))),
  version: (fleet, is, text) => ofInfo(fleet, (info) => info.version !== "" && (is(info.version) || is(bare(info.version)) || !isPattern(text) && bare(info.version).startsWith(`${bare(text)}.`))),
};
const either = (a, b) => (row) => a(row) || b(row);
const isPattern = (text) => /[*?]/.test(text);
const bare = (version) => version.replace(/^v/i, "");

// ofInfo tests each of what is known of agents once.
function ofInfo(fleet, test) {
  const known = [];
  return (row) => known[fleet.info[row]] ??= test(fleet.infoOf(row));
}

// problemOf returns what is wrong with the search, "" for nothing: a filter that there is not, or
// a network that is none. An IPv6 address is text.
export function problemOf(fleet) {
  for (const word of words()) {
    const [, name, text] = word.match(/^([a-z_-]+):(.*)$/i) ?? [];
    if (!name || /^[0-9a-f:.]+$/i.test(word)) continue;
    if (!namesOf(fleet).includes(name.toLowerCase())) return `There is no filter ${name}: there are ${namesOf(fleet).map((known) => `${known}:`).join(", ")}`;
    if (name.toLowerCase() === "net" && text && !isPattern(text) && !parseNetwork(text)) return `${text} is no network: net: wants one such as 10.1.0.0/16, or 10.1.*`;
  }
  return "";
}

// namesOf returns the filters that there are. One by node is for a cluster.
const namesOf = (fleet) => Object.keys(fits).filter((name) => name !== "node" || fleet.clustered);

const words = () => view.q.trim().split(/\s+/).filter(Boolean);

// newMatcher returns a function that reports whether the agent in a row matches the view;
// null if all do. A filter that there is not, and one without a text yet, match like any text.
export function newMatcher(fleet) {
  const tests = [];
  if (view.status.size && view.status.size < 4) tests.push((row) => view.status.has(statuses[fleet.status[row]]));
  for (const word of words()) {
    const [, name, text] = word.match(/^([a-z]+):(.+)$/i) ?? [];
    const filter = name && namesOf(fleet).includes(name.toLowerCase()) && fits[name.toLowerCase()];
    if (filter) {
      const whole = pattern(text);
      tests.push(filter(fleet, (value) => whole.test(value), text));
      continue;
    }
    const lower = word.toLowerCase();
    tests.push((row) => fleet.names[row].toLowerCase().includes(lower) || fleet.ips[row].includes(lower) || fleet.ids[row].includes(lower));
  }
  return tests.length ? (row) => tests.every((test) => test(row)) : null;
}
