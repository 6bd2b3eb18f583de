// The fleet as a table.
import { $, count, el, glyph, statuses, statusWords } from "./dom.js";
import { gone } from "./fleet.js";

const most = 300;
const order = [1, 2, 0, 3]; // disconnected and pending agents first

export function showList(fleet, match, open) {
  const found = [[], [], [], []];
  for (let row = 0; row < fleet.ids.length; row++) {
    const status = fleet.status[row];
    if (status !== gone && (!match || match(row))) found[status].push(row);
  }
  const rows = order.flatMap((status) => found[status]), shown = rows.slice(0, most);
  const head = ["Agent", "Status", "Address", "ID"];
  if (fleet.clustered) head.push("Node");
  const grouped = fleet.groupNames.length > 0, known = fleet.hasInfos;
  if (grouped) head.push("Group");
  if (known) head.push("Wazuh groups", "System", "Version");
  const table = el("table", {}, el("thead", {}, el("tr", {}, ...head.map((t) => el("th", { scope: "col" }, t)))),
    el("tbody", {}, ...shown.map((row) => {
      const status = statuses[fleet.status[row]];
      const tr = el("tr", {}, el("td", {}, el("button", { type: "button", class: "link", onclick: () => open(row) }, fleet.names[row] || fleet.ids[row])),
        el("td", {}, el("span", { class: "status" }, glyph(status), statusWords[status]), fleet.silenced.has(row) ? el("span", { class: "badge silenced" }, "silenced") : ""), el("td", {}, fleet.ips[row]), el("td", {}, fleet.ids[row]));
      if (fleet.clustered) tr.append(el("td", {}, fleet.nodeOf(row)));
      if (grouped) tr.append(el("td", {}, fleet.groupOf(row)));
      if (known) {
        const info = fleet.infoOf(row);
        tr.append(el("td", {}, info.groups.join(", ")), el("td", {}, info.os), el("td", {}, info.version));
      }
      return tr;
    })));
  const box = $("list"), top = box.scrollTop;
  box.replaceChildren(table, rows.length > most ? el("p", { class: "more" }, `The first ${count(most)} of ${count(rows.length)}: search to see others.`) : "");
  box.scrollTop = top;
}
