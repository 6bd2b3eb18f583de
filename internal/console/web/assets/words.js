// What happened, in words.
import { span, statusWords } from "./dom.js";

const reasons = {
  startup: "introduced itself",
  connected: "first keep-alive",
  reconnected: "is back",
  keepalive_timeout: "silent for a whole timeout",
  connection_lost: "connection closed, and it did not come back",
  agent_shutdown: "said goodbye",
  agent_removed: "no longer registered",
  agent_moved: "another node watches it now",
};

export function whyOf(e) {
  if (e.reason === "missed_keepalives") return `${e.missed || "several"} keep-alives without an answer`;
  return reasons[e.reason] ?? e.reason ?? "";
}

export const verbOf = (e) => ({ active: "active", pending: "is coming", disconnected: e.reason === "agent_shutdown" ? "shut down" : "lost" }[e.to] ?? statusWords[e.to] ?? e.to);

// soon says how soon something was known.
export function soon(e) {
  if (e.known_after_ms === undefined) return "";
  if (e.kind === "status_change" && e.to === "disconnected" && e.reason !== "agent_shutdown") return `known ${span(e.known_after_ms)} after its last sign of life`;
  return e.known_after_ms < 1000 ? "known at once" : `known after ${span(e.known_after_ms)}`;
}

export function outageWords(f) {
  const where = f.networks.slice(0, 3).map((n) => `${n.agents} in ${n.network}`).join(", ");
  return `${f.agents_lost} of ${f.agents_watched} agents lost (${f.fell_silent} fell silent, ${f.connections_closed} closed their connections)${where ? `: ${where}` : ""}`;
}

export const isLoss = (e) => e.kind !== "status_change" || (e.to === "disconnected" && e.reason !== "agent_shutdown");
