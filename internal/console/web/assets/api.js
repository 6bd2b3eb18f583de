// Requests to the daemon's API, and its stream of events. The token, where one is needed,
// is in a header of each request, so that no other page can use it.
import { $ } from "./dom.js";

const key = "pulse-token";
let asking = null;

function addToken(more = {}) {
  const token = sessionStorage.getItem(key);
  return token ? { ...more, Authorization: `Bearer ${token}` } : more;
}

// requestToken shows the login dialog, once for all requests that wait for the token.
function requestToken(again) {
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

async function fetchWithToken(path, options = {}) {
  for (;;) {
    const before = sessionStorage.getItem(key);
    const answer = await fetch(path, { ...options, headers: addToken(options.headers), cache: "no-store", credentials: "omit" });
    if (answer.status !== 401) return answer;
    if (before === sessionStorage.getItem(key)) await requestToken(Boolean(before));
  }
}

async function fetchJSON(path, options) {
  const answer = await fetchWithToken(path, options);
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.detail || answer.statusText);
  return body;
}

export const getJSON = (path) => fetchJSON(`/api/v1/${path}`);
export const sendPing = (id) => fetchJSON(`/api/v1/agents/${encodeURIComponent(id)}/ping`, { method: "POST", headers: { "Pulse-Request": "dashboard" } });

const change = { headers: { "Pulse-Request": "dashboard" } };
export const addSilence = (asked) => fetchJSON("/api/v1/silences", { ...change, method: "POST", body: JSON.stringify(asked) });
export const endSilence = (id, by) => fetchJSON(`/api/v1/silences/${encodeURIComponent(id)}?${new URLSearchParams({ by })}`, { ...change, method: "DELETE" });

const staleAfter = 10e3; // the daemon sends something every 2 s
const briefTime = 500; // how long a request for events lasts where the browser has maxStreams already
const pauseBetween = 2000; // between two such requests
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

// followEvents reads the events after last, and reconnects, while the page is visible.
// It calls on.event(kind, data) and on.state(connected).
export async function followEvents(last, on) {
  for (let pause = 300; ; pause = Math.min(pause * 2, 5000)) {
    await page.shown();
    const release = await acquireSlot();
    const cut = new AbortController();
    const ended = page.onHide(() => cut.abort());
    let watch = setTimeout(() => cut.abort(), staleAfter), done = false, connected = false;
    try {
      const answer = await fetchWithToken("/api/v1/events", { headers: last ? { "Last-Event-ID": last } : {}, signal: cut.signal });
      if (answer.ok) {
        connected = true;
        on.state(true);
        pause = 300;
        if (!release) setTimeout(() => { done = true; cut.abort(); }, briefTime);
        for await (const event of parseEvents(answer.body)) {
          clearTimeout(watch);
          watch = setTimeout(() => cut.abort(), staleAfter);
          if (event.id) last = event.id;
          try { on.event(event.kind, JSON.parse(event.data)); } catch (error) { reportError(error); }
        }
      }
    } catch { /* reconnects below */ }
    cut.abort(); // the connection ends, however the loop has ended
    clearTimeout(watch);
    ended();
    release?.();
    if (connected && done) { await sleep(pauseBetween); continue; }
    if (page.hidden) continue;
    on.state(false);
    await sleep(pause);
  }
}

// page is the visibility of this page. A hidden page needs no stream.
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
  // onHide calls back when the page is hidden. It returns a function that ends that.
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

// maxStreams is how many streams the pages of one browser have together: a browser opens
// six connections to a host for HTTP/1.1, and needs some for other requests.
const maxStreams = 3;

// acquireSlot returns a function that releases the slot; null if none is free.
async function acquireSlot() {
  if (!navigator.locks) return () => {};
  for (let i = 0; i < maxStreams; i++) {
    const release = await new Promise((done) => {
      navigator.locks.request(`pulse-events-${i}`, { ifAvailable: true }, (lock) => (lock ? new Promise(done) : done(null))).catch(() => done(null));
    });
    if (release) return release;
  }
  return null;
}

// parseEvents yields server-sent events; each line is a field.
async function* parseEvents(body) {
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
