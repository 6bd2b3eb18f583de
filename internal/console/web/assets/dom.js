// Helpers. Data from agents and the network becomes text only, never HTML.

export const $ = (id) => document.getElementById(id);

// el returns an element. Children are elements or text; nothing is parsed as HTML.
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "class") node.className = value;
    else if (key in node && typeof value !== "string") node[key] = value;
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((c) => c !== null && c !== undefined && c !== false));
  return node;
}

export function svg(tag, props = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(props)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

export const statuses = ["active", "disconnected", "pending", "never_connected"];
export const statusWords = { active: "active", disconnected: "disconnected", pending: "pending", never_connected: "never connected" };

// glyph returns a status as a shape, so that colour is not needed to distinguish them.
export function glyph(status) {
  const g = svg("svg", { viewBox: "0 0 12 12", class: "glyph", "aria-hidden": "true" });
  switch (status) {
    case "active": g.append(svg("rect", { x: 1, y: 1, width: 10, height: 10, rx: 2.5, class: "s-active" })); break;
    case "disconnected":
      g.append(svg("rect", { width: 12, height: 12, rx: 1, class: "s-disconnected" }),
        svg("path", { d: "M3 3l6 6M9 3l-6 6", stroke: "var(--panel)", "stroke-width": 1.8, "stroke-linecap": "round" }));
      break;
    case "pending":
      g.append(svg("rect", { x: 1.5, y: 1.5, width: 9, height: 9, rx: 1.5, fill: "none", stroke: "var(--pending)", "stroke-width": 1.8 }),
        svg("path", { d: "M1.5 10.5h9v-4.5h-9z", class: "s-pending" }));
      break;
    default: g.append(svg("circle", { cx: 6, cy: 6, r: 2.6, class: "s-never_connected" }));
  }
  return g;
}

const number = new Intl.NumberFormat("en");
export const count = (n) => number.format(n);
export const plural = (n, thing) => `${count(n)} ${thing}${n === 1 ? "" : "s"}`;

const clock = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat([], { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
export const timeOf = (t) => clock.format(new Date(t));
export const whenOf = (t) => (Date.now() - new Date(t) < 20 * 3600e3 ? clock : day).format(new Date(t));

// span returns milliseconds as text, in a suitable unit.
export function span(ms) {
  if (ms < 1) return "under 1 ms";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 10e3) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 120e3) return `${Math.round(ms / 1000)} s`;
  if (ms < 7200e3) return `${Math.round(ms / 60e3)} min`;
  if (ms < 48 * 3600e3) return `${Math.round(ms / 3600e3)} h`;
  return `${Math.round(ms / 86400e3)} days`;
}
export const ago = (t) => span(Math.max(Date.now() - new Date(t), 1));

// say sets a text, if it is another one: a screen reader reads what is set again.
export function say(place, words) {
  if (place.textContent !== words) place.textContent = words;
}

// tick calls f every second.
export const tick = (f) => setInterval(f, 1000);

// age returns how long ago a time was, which goes on by itself.
export function age(t, after = " ago") {
  const one = el("span", { "data-age": new Date(t).toISOString(), "data-after": after });
  one.textContent = ageText(one.dataset);
  return one;
}

// ageText returns an age in whole seconds and more.
function ageText({ age: t, after }) {
  const ms = Math.max(Math.round((Date.now() - new Date(t)) / 1000), 0) * 1000;
  if (ms < 2000) return after ? "just now" : "1 s";
  return `${ms < 10e3 ? `${ms / 1000} s` : span(ms)}${after}`;
}

tick(() => {
  if (document.hidden) return;
  for (const one of document.querySelectorAll("[data-age]")) say(one, ageText(one.dataset));
});

// tripOf returns a round trip of milliseconds as text.
export const tripOf = (ms) => (ms < 0.1 ? `${Math.round(ms * 1000)} µs` : ms < 100 ? `${ms.toFixed(1)} ms` : span(ms));

// rarely returns a function that calls f after ms, once for all calls until then.
export function rarely(f, ms) {
  let timer = 0;
  return () => {
    if (timer) return;
    timer = setTimeout(() => { timer = 0; f(); }, ms);
  };
}
