// The way to the daemon: the API, and its stream of events. The token, where there
// has to be one, is in the header of each request, so that no other page can use it.
import { $ } from "./dom.js";

const key = "pulse-token";
let asking = null;

function headers(more = {}) {
  const token = sessionStorage.getItem(key);
  return token ? { ...more, Authorization: `Bearer ${token}` } : more;
}

// ask asks for the token, once for all that wait for it.
function askToken(again) {
  asking ??= new Promise((done) => {
    const dialog = $("login");
    $("wrong").hidden = !again;
    $("token").value = "";
    dialog.addEventListener("close", () => {
      sessionStorage.setItem(key, $("token").value.trim());
      asking = null;
      done();
    }, { once: true });
    dialog.addEventListener("cancel", (e) => e.preventDefault());
    dialog.showModal();
  });
  return asking;
}

async function request(path, options = {}) {
  for (;;) {
    const before = sessionStorage.getItem(key);
    const answer = await fetch(path, { ...options, headers: headers(options.headers), cache: "no-store", credentials: "omit" });
    if (answer.status !== 401) return answer;
    if (before === sessionStorage.getItem(key)) await askToken(Boolean(before));
  }
}

async function json(path, options) {
  const answer = await request(path, options);
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.detail || answer.statusText);
  return body;
}

export const get = (path) => json(`/api/v1/${path}`);
export const ping = (id) => json(`/api/v1/agents/${encodeURIComponent(id)}/ping`, { method: "POST", headers: { "Pulse-Request": "dashboard" } });

const stale = 10e3; // the daemon sends something every 2 s
const brief = 500; // how long a request for events lasts where the browser has streams enough
const between = 2000; // between two such requests
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

// follow reads events from behind last on, over and over again, while the page is
// shown. It calls on.event(kind, data) and on.state(connected).
export async function follow(last, on) {
  for (let pause = 300; ; pause = Math.min(pause * 2, 5000)) {
    await page.shown();
    const release = await takeSlot();
    const cut = new AbortController();
    const ended = page.onHide(() => cut.abort());
    let watch = setTimeout(() => cut.abort(), stale), done = false, connected = false;
    try {
      const answer = await request("/api/v1/events", { headers: last ? { "Last-Event-ID": last } : {}, signal: cut.signal });
      if (answer.ok) {
        connected = true;
        on.state(true);
        pause = 300;
        if (!release) setTimeout(() => { done = true; cut.abort(); }, brief);
        for await (const event of parse(answer.body)) {
          clearTimeout(watch);
          watch = setTimeout(() => cut.abort(), stale);
          if (event.id) last = event.id;
          try { on.event(event.kind, JSON.parse(event.data)); } catch (error) { reportError(error); }
        }
      }
    } catch { /* it is tried again, and shown */ }
    cut.abort(); // the connection ends, however the loop has ended
    clearTimeout(watch);
    ended();
    release?.();
    if (connected && done) { await sleep(between); continue; }
    if (page.hidden) continue;
    on.state(false);
    await sleep(pause);
  }
}

// page is whether somebody can see this one. One that is hidden, or left, needs no stream.
const page = {
  hidden: document.visibilityState === "hidden",
  listeners: new Set(),
  set(hidden) {
    if (this.hidden === hidden) return;
    this.hidden = hidden;
    for (const listener of [...this.listeners]) listener();
  },
  shown() {
    return new Promise((done) => {
      if (!this.hidden) { done(); return; }
      const listener = () => { this.listeners.delete(listener); done(); };
      this.listeners.add(listener);
    });
  },
  // onHide calls back when the page is hidden, until the function that it returns is called.
  onHide(callback) {
    const listener = () => { if (this.hidden) callback(); };
    this.listeners.add(listener);
    listener();
    return () => this.listeners.delete(listener);
  },
};
document.addEventListener("visibilitychange", () => page.set(document.visibilityState === "hidden"));
addEventListener("pagehide", () => page.set(true));
addEventListener("pageshow", () => page.set(document.visibilityState === "hidden"));

// slots is how many streams the pages of one browser have together: it has six
// connections to a host for HTTP/1.1, and needs some for all else.
const slots = 3;

// takeSlot returns what gives a slot back, null where all are taken.
async function takeSlot() {
  if (!navigator.locks) return () => {};
  for (let i = 0; i < slots; i++) {
    const release = await new Promise((done) => {
      navigator.locks.request(`pulse-events-${i}`, { ifAvailable: true }, (lock) => (lock ? new Promise(done) : done(null))).catch(() => done(null));
    });
    if (release) return release;
  }
  return null;
}

// parse reads server-sent events, of which each line is a field.
async function* parse(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "", event = {};
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const lines = text.split("\n");
    text = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (event.data !== undefined) yield event;
        event = {};
        continue;
      }
      const colon = line.indexOf(": ");
      const field = line.slice(0, colon), rest = line.slice(colon + 2);
      if (field === "event") event.kind = rest;
      else if (field === "id") event.id = rest;
      else if (field === "data") event.data = rest;
    }
  }
}
