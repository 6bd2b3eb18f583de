// The stream of events: one for all pages of a browser, since a browser has six connections to a
// host. The page that holds a lock reads it, and passes on to the others what it reads. A page
// that is hidden or left ends what it has open.
import { fetchWithToken } from "./api.js";

const staleAfter = 10e3; // the daemon sends something every 2 s

// sleep waits for ms, or until signal.
const sleep = (ms, signal) => new Promise((done) => {
  setTimeout(done, ms);
  signal.addEventListener("abort", done, { once: true });
});

// followEvents calls on.event(kind, data) for the events after last, and on.state(word, heardAt,
// why) when the connection is "live", "lost" or "paused", which it is while the page is hidden.
export async function followEvents(last, on) {
  const place = new Place(last, on);
  for (;;) {
    await page.shown();
    const ended = new AbortController(), remove = page.onHide(() => ended.abort());
    try { await readOrFollow(place, ended.signal); } catch { /* hidden meanwhile */ }
    remove();
    ended.abort();
    place.setState("paused");
  }
}

// readOrFollow reads the stream as soon as no other page of the browser does, and follows that
// page until then. Without locks, which a page from http elsewhere does not have, every visible
// page reads a stream of its own.
async function readOrFollow(place, signal) {
  if (!navigator.locks || !globalThis.BroadcastChannel) return readForAll(place, signal, { postMessage() {} });
  const channel = new BroadcastChannel("pulse-events"), leading = new AbortController();
  const following = followReader(place, AbortSignal.any([signal, leading.signal]), channel);
  try {
    await navigator.locks.request("pulse-events", { signal }, async () => {
      leading.abort();
      await following;
      await readForAll(place, signal, channel);
    });
  } finally {
    leading.abort();
    channel.close();
  }
}

// Place is how far this page has read, and what it knows of the connection.
class Place {
  constructor(last, on) { this.last = last; this.on = on; this.heardAt = Date.now(); }

  // take handles an event. It returns false if others are missing before it.
  take({ kind, id, data }) {
    const [epoch, seq] = splitID(this.last), [itsEpoch, itsSeq] = splitID(id ?? this.last);
    if (kind === "changes") {
      if (itsEpoch !== epoch) return false;
      if (itsSeq <= seq) return true;
      if (data[0].seq > seq + 1) return false;
      data = data.filter((e) => e.seq > seq);
    } else if (kind === "reset" && itsEpoch === epoch && itsSeq <= seq) return true;
    if (id) this.last = id;
    try { this.on.event(kind, data); } catch (error) { reportError(error); }
    return true;
  }

  setLive() {
    this.heardAt = Date.now();
    this.setState("live");
  }

  setState(word, why = "") {
    if (this.word === word && this.why === why) return;
    this.word = word; this.why = why;
    this.on.state(word, this.heardAt, why);
  }
}

// splitID returns the node's epoch and the sequence of an event.
function splitID(id) {
  const [epoch, seq] = (id ?? "").split("-");
  return [epoch, Number(seq ?? 0)];
}

// readForAll reads the stream until signal, and passes on what it reads.
async function readForAll(place, signal, channel) {
  for (let pause = 300; !signal.aborted; pause = Math.min(pause * 2, 5000)) {
    const why = await readEvents(place, signal, (event) => {
      pause = 300;
      place.take(event);
      if (event.kind !== "dropped") channel.postMessage(event);
      return true;
    });
    if (signal.aborted) return;
    place.setState("lost", why);
    channel.postMessage({ kind: "lost", data: why });
    await sleep(pause, signal);
  }
}

// followReader handles what another page reads. What that page has not read itself, or before
// this one was there, is read with a request of its own, as is everything when it stays silent.
async function followReader(place, signal, channel) {
  let behind = true, wake = () => {}, heard = Date.now();
  channel.onmessage = ({ data: event }) => {
    heard = Date.now();
    if (event.kind === "lost") { place.setState("lost", event.data); return; }
    place.setLive();
    if (!place.take(event)) { behind = true; wake(); }
  };
  const watch = setInterval(() => { if (Date.now() - heard > staleAfter) { behind = true; wake(); } }, 1000);
  const stop = () => wake();
  signal.addEventListener("abort", stop);
  for (let pause = 300; !signal.aborted;) {
    if (!behind) { await new Promise((done) => { wake = done; }); continue; }
    behind = false;
    const why = await catchUp(place, signal);
    heard = Date.now();
    if (why === null) { pause = 300; continue; }
    if (signal.aborted) break;
    place.setState("lost", why);
    behind = true;
    await sleep(pause = Math.min(pause * 2, 5000), signal);
  }
  channel.onmessage = null;
  clearInterval(watch);
  signal.removeEventListener("abort", stop);
}

// catchUp reads until this page has what there was when it asked. It returns why it could not.
async function catchUp(place, signal) {
  let until = null, done = false;
  const why = await readEvents(place, signal, (event) => {
    if (event.kind === "hello") until = event.data;
    place.take(event);
    const [epoch, seq] = splitID(place.last);
    done = event.kind !== "hello" && until !== null && epoch === String(until.epoch) && seq >= until.seq;
    return !done;
  });
  return done ? null : why;
}

// readEvents reads the events after a place, until each(event) returns false, or signal, or the
// stream ends. It returns why it ended.
async function readEvents(place, signal, each) {
  const cut = new AbortController();
  let watch = setTimeout(() => cut.abort(), staleAfter), why = "";
  try {
    const headers = place.last ? { "Last-Event-ID": place.last } : {};
    const answer = await fetchWithToken("/api/v1/events", { headers, signal: AbortSignal.any([signal, cut.signal]) });
    if (answer.ok) {
      for await (const event of parseEvents(answer.body)) {
        clearTimeout(watch);
        watch = setTimeout(() => cut.abort(), staleAfter);
        place.setLive();
        if (!each(event)) break;
      }
    } else why = (await answer.json()).detail ?? answer.statusText;
  } catch { /* cut off */ }
  cut.abort(); // the connection ends, however the loop has ended
  clearTimeout(watch);
  return why;
}

// page is the visibility of this page.
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
        if (event.data !== undefined) yield { ...event, data: JSON.parse(event.data) };
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
