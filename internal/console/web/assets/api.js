// Requests to the daemon's API. The token, where one is needed, is in a header of each
// request, so that no other page can use it.
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

export async function fetchWithToken(path, options = {}) {
  for (;;) {
    const before = sessionStorage.getItem(key);
    const answer = await fetch(path, { ...options, headers: addToken(options.headers), cache: "no-store", credentials: "omit" });
    if (answer.status !== 401) return answer;
    if (before === sessionStorage.getItem(key)) await requestToken(Boolean(before));
  }
}

async function fetchJSON(path, options) {
  const answer = await fetchWithToken(path, options).catch(() => { throw new Error("Pulse does not answer"); });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.detail || answer.statusText);
  return body;
}

export const getJSON = (path) => fetchJSON(`/api/v1/${path}`);
export const sendPing = (id) => fetchJSON(`/api/v1/agents/${encodeURIComponent(id)}/ping`, { method: "POST", headers: { "Pulse-Request": "dashboard" } });

const change = { headers: { "Pulse-Request": "dashboard" } };
export const addSilence = (asked) => fetchJSON("/api/v1/silences", { ...change, method: "POST", body: JSON.stringify(asked) });
export const endSilence = (id, by) => fetchJSON(`/api/v1/silences/${encodeURIComponent(id)}?${new URLSearchParams({ by })}`, { ...change, method: "DELETE" });
