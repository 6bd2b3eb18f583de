// Pages of one browser that follow the events, without a browser: node pages.mjs URL stream.js DIR.
// Commands come a line each: "open", and "hide N", "show N", "leave N" of the page N. Each event
// is a line: its page, kind, and the number of its last change.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";

const [url, script, dir] = process.argv.slice(2);
const source = readFileSync(script, "utf8").replace('import { fetchWithToken } from "./api.js";', "");

// locks are those of a browser: the page that has waited for longest is next.
const waiting = [];
let held = false;
async function grantNext() {
  if (held || !waiting.length) return;
  held = true;
  const { use, done } = waiting.shift();
  try { await use(); } finally { held = false; done(); grantNext(); }
}
const locks = {
  request: (name, { signal }, use) => new Promise((done, fail) => {
    if (signal.aborted) { fail(signal.reason); return; }
    const one = { use, done };
    signal.addEventListener("abort", () => {
      const at = waiting.indexOf(one);
      if (at >= 0) { waiting.splice(at, 1); fail(signal.reason); }
    });
    waiting.push(one);
    grantNext();
  }),
};
const pages = [];

async function openPage() {
  const page = { number: pages.length, document: new EventTarget(), window: new EventTarget() };
  pages.push(page);
  page.document.visibilityState = "visible";
  globalThis.page = {
    document: page.document, addEventListener: page.window.addEventListener.bind(page.window), navigator: { locks },
    fetchWithToken: (path, options) => fetch(url + path, options),
  };
  const file = join(dir, `page${page.number}.mjs`);
  writeFileSync(file, `const { document, addEventListener, navigator, fetchWithToken } = globalThis.page;\n${source}`);
  const stream = await import(file);
  stream.followEvents("7-0", {
    event: (kind, data) => console.log(page.number, kind, kind === "changes" ? data.at(-1).seq : 0),
    state: (word) => console.log(page.number, word, 0),
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
