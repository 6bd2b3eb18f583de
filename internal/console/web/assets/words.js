// Texts for events.
import { span, statusWords } from "./dom.js";

const reasons = {
  startup: "startup message",
  connected: "first keep-alive",
  reconnected: "connected again",
  keepalive_timeout: "no message for the whole timeout",
  connection_lost: "connection closed and not reopened",
  agent_shutdown: "shutdown message",
  agent_removed: "no longer registered",
  agent_moved: "moved to another node",
  node_lost: "lost with its node",
};

export function whyOf(e) {
  if (e.reason === "missed_keepalives") return `${e.missed || "several"} keep-alives without an answer`;
  if (!e.reason && e.node) return `as node ${e.node} has stored`;
  return reasons[e.reason] ?? e.reason ?? "";
}

// hostText returns what is known of the host of a lost agent.
export function hostText(e) {
  const words = { answers: "its host answers", silent: "its host is silent" }[e.host];
  return words ? `${words}${e.technique ? ` (${e.technique})` : ""}` : "";
}

export const verbOf = (e) => ({ active: "active", pending: "pending", disconnected: e.reason === "agent_shutdown" ? "shut down" : "lost" }[e.to] ?? statusWords[e.to] ?? e.to);

// soonText returns how soon something was known.
export function soonText(e) {
  if (e.known_after_ms === undefined) return "";
  if (e.kind === "status_change" && e.to === "disconnected" && e.reason !== "agent_shutdown") return `known ${span(e.known_after_ms)} after its last sign of life`;
  return e.known_after_ms < 1000 ? "known at once" : `known after ${span(e.known_after_ms)}`;
}

export function outageWords(f) {
  const where = f.networks.slice(0, 3).map((n) => `${n.agents} in ${n.network}`).join(", ");
  const hosts = f.hosts_probed ? `; of ${f.hosts_probed} hosts that were asked, ${f.hosts_answered ?? 0} answer` : "";
  return `${f.agents_lost} of ${f.agents_watched} agents lost (${f.fell_silent} fell silent, ${f.connections_closed} closed their connections)${where ? `: ${where}` : ""}${hosts}`;
}

export const isLoss = (e) => e.kind !== "status_change" || (e.to === "disconnected" && e.reason !== "agent_shutdown");
