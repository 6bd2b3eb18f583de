// The view: kept in the page's address, so that it can be shared.
import { statuses } from "./dom.js";

export const view = { q: "", status: new Set(), by: "network", list: false, agent: "" };

export function readView() {
  const p = new URLSearchParams(location.search);
  view.q = p.get("q") ?? "";
  view.status = new Set((p.get("status") ?? "").split(",").filter((s) => statuses.includes(s)));
  view.by = p.get("by") === "group" ? "group" : "network";
  view.list = p.get("view") === "list";
  view.agent = p.get("agent") ?? "";
}

// writeView writes the view to the address; the back button undoes a step.
export function writeView(step = false) {
  const p = new URLSearchParams();
  if (view.q) p.set("q", view.q);
  if (view.status.size) p.set("status", statuses.filter((s) => view.status.has(s)).join(","));
  if (view.by !== "network") p.set("by", view.by);
  if (view.list) p.set("view", "list");
  if (view.agent) p.set("agent", view.agent);
  const url = p.size ? `?${p.toString().replaceAll("%2C", ",").replaceAll("%3A", ":").replaceAll("%2F", "/")}` : location.pathname;
  if (url === (location.search || location.pathname)) return;
  history[step ? "pushState" : "replaceState"](null, "", url);
}

const pattern = (text) => new RegExp(`^${text.replace(/[.+^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*").replaceAll("?", ".")}$`, "i");

// newMatcher returns a function that reports whether the agent in a row matches the view;
// null if all do.
export function newMatcher(fleet) {
  const tests = [];
  if (view.status.size && view.status.size < 4) tests.push((row) => view.status.has(statuses[fleet.status[row]]));
  for (const word of view.q.trim().split(/\s+/).filter(Boolean)) {
    const [, field, text] = word.match(/^(name|ip|net|group|id):(.+)$/i) ?? [];
    const fits = text && pattern(text);
    switch (field?.toLowerCase()) {
      case "name": tests.push((row) => fits.test(fleet.names[row])); break;
      case "ip": tests.push((row) => fits.test(fleet.ips[row])); break;
      case "net": tests.push((row) => fits.test(fleet.nets[row])); break;
      case "group": tests.push((row) => fits.test(fleet.groupOf(row))); break;
      case "id": tests.push((row) => fits.test(fleet.ids[row])); break;
      default: {
        const lower = word.toLowerCase();
        tests.push((row) => fleet.names[row].toLowerCase().includes(lower) || fleet.ips[row].includes(lower) || fleet.ids[row].includes(lower));
      }
    }
  }
  return tests.length ? (row) => tests.every((test) => test(row)) : null;
}
