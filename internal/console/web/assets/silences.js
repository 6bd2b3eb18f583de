// Silences: listed, added and ended.
import { $, count, el, plural, whenOf } from "./dom.js";
import { addSilence, endSilence, getJSON } from "./api.js";

const period = 5000;
const nameKey = "pulse-name"; // who adds and ends silences here
const most = 200; // silences that are shown

export class Silences {
  constructor() {
    this.dialog = $("silences");
    this.form = $("silence-form");
    $("silences-open").addEventListener("click", () => this.open());
    $("silences-close").addEventListener("click", () => this.dialog.close());
    this.form.elements.kind.addEventListener("change", () => this.drawTimeField());
    this.form.elements.all.addEventListener("change", () => this.drawTimeField());
    this.form.addEventListener("submit", (e) => { e.preventDefault(); this.add(); });
    setInterval(() => { if (this.dialog.open && !document.hidden) this.refresh(); }, period);
  }

  // drawCount shows how many agents are silenced now.
  drawCount(summary) {
    const n = summary.agents_silenced ?? 0;
    $("silences-count").textContent = n ? count(n) : "";
    $("silences-open").title = `${plural(summary.silences_active ?? 0, "silence")} in effect, ${plural(n, "agent")} silenced`;
    $("silences-open").classList.toggle("some", n > 0);
  }

  // open shows the dialog, with an agent to silence or none.
  open(agent = "") {
    const fields = this.form.elements;
    fields.by.value = localStorage.getItem(nameKey) ?? "";
    if (agent) { fields.all.checked = false; fields.agent.value = agent; fields.group.value = ""; fields.network.value = ""; }
    this.showProblem("");
    this.drawTimeField();
    this.dialog.showModal();
    this.refresh();
    if (agent) fields.comment.focus();
  }

  drawTimeField() {
    const fields = this.form.elements, weekly = fields.kind.value === "weekly";
    fields.when.placeholder = weekly ? "Sun 02:00-04:00 Europe/Berlin" : "90m, 2h, 1d";
    if (weekly !== /[a-z]{3}/i.test(fields.when.value)) fields.when.value = weekly ? "" : "2h";
    for (const name of ["agent", "group", "network"]) fields[name].disabled = fields.all.checked;
  }

  showProblem(words) {
    $("silence-wrong").textContent = words;
    $("silence-wrong").hidden = !words;
  }

  async refresh() {
    try {
      this.drawList(await getJSON("silences"));
    } catch (error) {
      this.showProblem(error.message);
    }
  }

  // drawList draws the list, unless it is there: a button that is replaced while it is pressed
  // is not clicked.
  drawList(list) {
    const key = JSON.stringify(list);
    if (key === this.drawn) return;
    this.drawn = key;
    const present = list.silences.filter((s) => s.state !== "over"), over = list.silences.filter((s) => s.state === "over");
    const shown = [...present, ...over].slice(0, most);
    const table = el("table", {}, el("thead", {}, el("tr", {}, ...["Agents", "When", "State", "Why", ""].map((t) => el("th", { scope: "col" }, t)))),
      el("tbody", {}, ...shown.map((s) => this.newRow(s))));
    const box = $("silences-list"), top = box.scrollTop, focused = box.contains(document.activeElement) ? document.activeElement.dataset.end : "";
    box.replaceChildren(shown.length ? table : el("p", { class: "dim" }, "None."),
      list.silences.length > most ? el("p", { class: "more" }, `The first ${count(most)} of ${count(list.silences.length)}.`) : "");
    box.scrollTop = top;
    if (focused) box.querySelector(`button[data-end="${CSS.escape(focused)}"]`)?.focus();
    $("silences-said").textContent = `${count(list.active)} in effect, ${plural(list.agents_silenced, "agent")} silenced${list.refused ? `; ${plural(list.refused, "silence")} in the state directory were damaged` : ""}`;
  }

  newRow(s) {
    let end = "";
    if (s.origin === "settings") end = el("span", { class: "dim" }, "in the settings");
    else if (s.state !== "over") end = el("button", { type: "button", class: "end", "data-end": s.id, "aria-label": `End silence ${s.id}`, onclick: () => this.end(s.id) }, "End");
    const next = s.next ? `${s.state === "active" ? "until" : "from"} ${whenOf(s.next)}` : s.ended_at ? `since ${whenOf(s.ended_at)}${s.ended_by ? `, by ${s.ended_by}` : ""}` : "";
    return el("tr", { class: s.state, "data-id": s.id }, el("td", {}, selects(s)), el("td", {}, s.weekly ?? "once"),
      el("td", {}, el("b", {}, s.state), ` ${next}`), el("td", {}, [s.comment, s.by && `by ${s.by}`].filter(Boolean).join(" · ")), el("td", {}, end));
  }

  // readName returns who acts; "" after it has asked for the name.
  readName() {
    const name = this.form.elements.by.value.trim();
    if (name) localStorage.setItem(nameKey, name);
    else { this.showProblem("Enter your name first."); this.form.elements.by.focus(); }
    return name;
  }

  async add() {
    const fields = this.form.elements, by = this.readName();
    if (!by) return;
    const asked = { [fields.kind.value]: fields.when.value.trim(), by };
    if (fields.all.checked) asked.all = true;
    else for (const name of ["agent", "group", "network"]) if (fields[name].value.trim()) asked[name] = fields[name].value.trim();
    if (fields.comment.value.trim()) asked.comment = fields.comment.value.trim();
    await this.change(async () => {
      const added = await addSilence(asked);
      $("silences-said").textContent = `${plural(added.agents, "agent")} selected`;
      for (const name of ["agent", "group", "network", "comment"]) fields[name].value = "";
      fields.all.checked = false;
      this.drawTimeField();
    });
  }

  async end(id) {
    const by = this.readName();
    if (by) await this.change(() => endSilence(id, by));
  }

  async change(act) {
    this.showProblem("");
    try {
      await act();
      await this.refresh();
    } catch (error) {
      this.showProblem(error.message);
    }
  }
}

// selects returns whom a silence selects, as text.
function selects(s) {
  if (s.all) return "every agent";
  return [["agent", s.agent], ["group", s.group], ["network", s.network]].filter(([, value]) => value).map(([name, value]) => `${name} ${value.replaceAll(",", ", ")}`).join("; ");
}

// isKilledInSilence reports whether an event is the loss of a silenced agent whose host still
// answers: its alert waits, and somebody should look all the same.
export const isKilledInSilence = (e) => e.kind === "status_change" && e.silenced && e.host === "answers" && e.to === "disconnected" && e.reason !== "agent_shutdown";

// Killed are the agents that were killed while they were silenced, and are still away.
export class Killed {
  constructor(open) {
    this.open = open;
    this.agents = new Map();
  }

  // replaceEvents takes events of before, newest first.
  replaceEvents(events) {
    this.agents.clear();
    this.addEvents(events.toReversed());
  }

  addEvents(events) {
    for (const e of events) {
      if (e.kind !== "status_change") continue;
      this.agents.delete(e.id);
      if (isKilledInSilence(e)) this.agents.set(e.id, e.name);
    }
    const all = [...this.agents].toReversed(), key = JSON.stringify(all), box = $("killed");
    if (key === this.drawn) return;
    this.drawn = key;
    box.hidden = !all.length;
    const names = all.slice(0, 10).flatMap(([id, name], i) => [i ? ", " : "", el("button", { type: "button", class: "link", onclick: () => this.open(id) }, name)]);
    box.replaceChildren(el("p", {}, el("b", {}, `${plural(all.length, "silenced agent")} killed while ${all.length === 1 ? "its host" : "their hosts"} still ${all.length === 1 ? "answers" : "answer"}: `), ...names,
      all.length > 10 ? ` and ${count(all.length - 10)} more` : ""));
  }
}
