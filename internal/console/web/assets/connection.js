// Whether Pulse answers. While it does not, everything that the page shows is old, and is marked so.
import { $, ago, el, say, tick, timeOf, whenOf } from "./dom.js";

const patience = 3000; // a restart of the daemon takes less

export class Connection {
  // changed is called when the page becomes old, or ceases to be.
  constructor(changed) {
    this.changed = changed;
    this.word = "connecting";
    this.since = this.heardAt = Date.now();
    this.old = false;
    tick(() => this.check());
  }

  // set handles a new state: live, lost, paused (while the page is hidden), or connecting.
  set(word, heardAt, why = "") {
    if (word !== "lost" || this.word !== "lost") this.since = Date.now();
    this.word = word; this.heardAt = heardAt; this.why = why;
    $("live").classList.toggle("lost", word === "lost");
    say($("live").lastChild, { live: "live", lost: "reconnecting" }[word] ?? "connecting");
    this.check();
  }

  check() {
    const old = this.word === "live" ? false : this.old || Date.now() - this.since >= patience;
    if (old !== this.old) {
      this.old = old;
      document.body.classList.toggle("old", old);
      $("stopped").hidden = !old;
      this.changed();
    }
    if (old) this.draw();
  }

  // title is what the tab says while the page is old.
  get title() { return `NO ANSWER since ${timeOf(this.heardAt)} · Pulse`; }

  draw() {
    if (!$("stopped").firstChild) $("stopped").append(el("p", {}, el("b", {}), " ", el("span", { "aria-hidden": "true" })), el("p", {}));
    const [first, more] = $("stopped").children;
    say(first.firstChild, `Pulse has not answered since ${whenOf(this.heardAt)}.`);
    say(first.lastChild, `That is ${ago(this.heardAt)} ago.`);
    say(more, `What is shown is as it was then: agents may have been lost since. ${this.why ? `Pulse refuses: ${this.why}.`
      : "It has stopped, or this browser cannot reach it. The page goes on by itself as soon as it answers."}`);
  }
}
