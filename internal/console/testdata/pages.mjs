// Pages of one browser that follow the events, without a browser: node pages.mjs URL api.js DIR.
// Commands come a line each: "open", and "hide N", "show N", "leave N" of the page N. Each event
// is a line: its page, kind, and the number of its last change.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";

const [url, script, dir] = process.argv.slice(2);
const source = readFileSync(script, "utf8").replace('import { $ } from "./dom.js";', "const $ = () => ({});");
const held = new Set();
const locks = {
  async request(name, options, use) {
    if (held.has(name)) return use(null);
    held.add(name);
    try { return await use({ name }); } finally { held.delete(name); }
  },
};
const pages = [];

async function openPage() {
  const page = { number: pages.length, document: new EventTarget(), window: new EventTarget() };
  pages.push(page);
  page.document.visibilityState = "visible";
  globalThis.page = {
    document: page.document, addEventListener: page.window.addEventListener.bind(page.window), navigator: { locks },
    sessionStorage: { getItem: () => null }, fetch: (path, options) => fetch(url + path, options),
  };
  const file = join(dir, `page${page.number}.mjs`);
  writeFileSync(file, `const { document, addEventListener, navigator, sessionStorage, fetch } = globalThis.page;\n${source}`);
  const api = await import(file);
  api.followEvents("7-0", {
    event: (kind, data) => console.log(page.number, kind, kind === "changes" ? data.at(-1).seq : 0),
    state: (connected) => console.log(page.number, connected ? "live" : "lost", 0),
  });
}

function show(page, state) {
  page.document.visibilityState = state;
  page.document.dispatchEvent(new Event("visibilitychange"));
}

for await (const line of createInterface({ input: process.stdin })) {
  const [what, number] = line.split(" ");
  if (what === "open") await openPage();
  else if (what === "leave") pages[number].window.dispatchEvent(new Event("pagehide"));
  else show(pages[number], what === "hide" ? "hidden" : "visible");
}
process.exit(0);
