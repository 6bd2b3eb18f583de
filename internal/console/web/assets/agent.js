// One agent: its status, its history, and a ping.
import { $, age, el, glyph, statusWords, timeOf, tripOf } from "./dom.js";
import { getJSON, sendPing } from "./api.js";
import { timeline, trips } from "./chart.js";
import { hostText, whyOf } from "./words.js";

const period = 4000;
const narrow = matchMedia("(max-width: 900px)"); // as in style.css: there it covers the page

export class AgentPanel {
  constructor(close, silence) {
    this.panel = $("agent");
    this.close = close;
    this.silence = silence;
    this.id = "";
    setInterval(() => { if (this.id && !document.hidden) this.refresh(); }, period);
    narrow.addEventListener("change", () => this.updateInert());
  }

  open(id, focus) {
    if (id === this.id) return;
    this.id = id;
    this.answer = null;
    this.panel.hidden = !id;
    this.updateInert();
    this.panel.replaceChildren();
    if (!id) return;
    if (focus) this.back = document.activeElement;
    this.earlier = [];
    getJSON(`agents/${encodeURIComponent(id)}/day`).then((day) => { if (id === this.id) { this.earlier = day.changes; this.refresh(); } }).catch(() => {});
    this.refresh().then(() => { if (focus) this.panel.focus({ preventScroll: true }); });
  }

  // updateInert keeps the focus out of what the panel covers.
  updateInert() {
    for (const part of document.querySelectorAll(".skip, header, #fleet, #feed, #pulse")) part.inert = narrow.matches && !this.panel.hidden;
  }

  async refresh() {
    const id = this.id;
    try {
      const one = await getJSON(`agents/${encodeURIComponent(id)}`);
      if (id === this.id) this.drawAgent(one);
    } catch (error) {
      if (id === this.id && !this.panel.querySelector(".name")) this.panel.replaceChildren(this.newHead({ id, name: id }), el("p", { class: "dim" }, error.message));
    }
  }

  newHead(a) {
    return el("div", { class: "head" },
      el("div", {}, el("h2", { class: "name", id: "agent-name" }, a.name), el("div", { class: "dim" }, `agent ${a.id}${a.ip ? ` · ${a.ip}` : ""}`)),
      el("button", { type: "button", class: "close", "aria-label": "Close", onclick: () => this.close() }, "×"));
  }

  // drawAgent redraws the panel, but keeps the button, which may have the focus.
  drawAgent({ node, agent: a, changes, round_trips: list, messages, wazuh_url: wazuh }) {
    const last = changes.find((c) => c.kind === "status_change");
    const facts = [["Status since", [age(a.since), last ? `: ${whyOf(last)}` : ""]], ["Last sign of life", a.last_seen ? age(a.last_seen) : "never"]];
    const elsewhere = a.node !== undefined && a.node !== node;
    if (elsewhere && !a.last_seen) facts.pop();
    if (a.missed) facts.push(["Unanswered", `${a.missed} keep-alives in a row`]);
    if (hostText(a)) facts.push(["Host", [`${hostText(a)}: ${a.host_probe}, asked `, age(a.host_probed_at)]]);
    if (a.rtt_ms !== undefined) facts.push(["Round trip", tripOf(a.rtt_ms)]);
    if (a.node) facts.push(["Node", a.coarse ? `${a.node}, seen through its manager's database` : a.node]);
    if (/^https?:/i.test(wazuh ?? "")) facts.push(["In Wazuh", el("a", { href: wazuh, target: "_blank", rel: "noopener noreferrer" }, "its page in Wazuh's dashboard")]);
    if (a.network) facts.push(["Network", a.network]);
    if (a.group) facts.push(["Group", a.group]);
    if (a.wazuh_groups?.length) facts.push(["Wazuh groups", a.wazuh_groups.join(", ")]);
    const system = [a.os_name, a.os_version].filter(Boolean).join(" ");
    if (system) facts.push(["System", system]);
    if (a.agent_version) facts.push(["Agent version", a.agent_version]);
    const body = el("div", {},
      el("p", {}, el("span", { class: `badge ${a.status}` }, glyph(a.status), statusWords[a.status]),
        a.dormant ? el("span", { class: "badge dormant", title: "Away for so long that nobody waits for it" }, "dormant") : "",
        a.duplicated ? el("span", { class: "badge dormant", title: "Two machines use its key" }, "duplicated key") : "",
        a.silenced ? el("span", { class: "badge silenced", title: "Its alerts wait until the silence ends" }, "silenced") : ""),
      el("dl", { class: "facts" }, ...facts.flatMap(([k, v]) => [el("dt", {}, k), el("dd", {}, ...[v].flat())])));
    const rest = el("div", {},
      el("h3", {}, "Timeline"), timeline(a, joinChanges(changes, this.earlier)),
      el("h3", {}, "Round trips"), list.length ? trips(list) : el("p", { class: "dim" }, elsewhere ? `Node ${a.node} knows them.` : "No keep-alive has been answered yet."),
      el("h3", {}, "Last messages"),
      messages.length ? el("ol", { class: "messages" }, ...messages.slice(0, 12).map((m) => el("li", {}, el("time", { datetime: m.at }, timeOf(m.at)),
        el("span", { class: m.type === "keepalive_failed" ? "bad" : "" }, m.type.startsWith("keepalive") ? `keep-alive: ${m.text}` : m.text)))) : el("p", { class: "dim" }, "None yet."));
    if (!this.ask || !this.panel.contains(this.ask) || this.elsewhere !== elsewhere) {
      this.elsewhere = elsewhere;
      this.button = el("button", { type: "button", onclick: () => this.pingAgent() }, "Send a keep-alive");
      this.said = el("span", { role: "status", class: "dim" });
      const { id } = this;
      this.ask = elsewhere ? el("p", { class: "ask dim" }, `Node ${a.node} alone can send it a keep-alive, or hold back its alerts.`) : el("div", { class: "ask" }, this.button, el("button", { type: "button", class: "quieter", onclick: () => this.silence(id) }, "Silence…"), this.said);
      this.panel.replaceChildren(this.newHead(a), body, this.ask, rest);
      return;
    }
    this.panel.children[1].replaceWith(body);
    this.panel.children[3].replaceWith(rest);
  }

  // pingAgent sends a keep-alive and shows the outcome.
  async pingAgent() {
    const id = this.id;
    this.button.disabled = true;
    this.said.className = "dim";
    this.said.textContent = "waiting for the answer…";
    let words = "", bad = false;
    try {
      words = `answered in ${tripOf((await sendPing(id)).rtt_ms)}`;
    } catch (error) {
      words = error.message; bad = true;
    }
    if (id !== this.id) return;
    this.button.disabled = false;
    this.said.className = bad ? "bad" : "";
    this.said.textContent = words;
    this.refresh();
  }
}

// joinChanges adds to the changes in memory those on disk that are earlier; newest first.
function joinChanges(changes, earlier) {
  const oldest = changes.length ? Date.parse(changes.at(-1).at) - 1000 : Infinity; // on disk are whole seconds
  return [...changes, ...earlier.filter((c) => Date.parse(c.at) < oldest)];
}
