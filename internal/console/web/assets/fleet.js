// The fleet, in columns: the index of an agent is its row.
import { statuses } from "./dom.js";

export const gone = 255; // the status of an agent that was removed

export class Fleet {
  constructor() {
    this.ids = []; this.names = []; this.ips = []; this.nets = []; this.groups = [];
    this.status = new Uint8Array(0);
    this.groupNames = [];
    this.infos = [newInfo({})]; this.infoIndex = new Map(); // what is known of agents, which is the same of many
    this.info = []; // the index in infos
    this.rows = new Map(); // id → row
    this.since = []; this.seen = []; // seconds since 1970; undefined until loadTimes, 0 for never
    this.silenced = new Set(); // rows
    this.nodeNames = []; // of a cluster, this node first; else none
    this.nodes = []; // the index in nodeNames
    this.lostNodes = new Set(); // names
  }

  // load reads the answer of /api/v1/map.
  load(map) {
    const n = map.agents.length, before = { rows: this.rows, since: this.since, seen: this.seen };
    this.since = new Array(n); this.seen = new Array(n);
    this.groupNames = map.groups;
    this.ids = new Array(n); this.names = new Array(n); this.ips = new Array(n); this.nets = new Array(n);
    this.groups = new Array(n);
    this.info = new Array(n);
    this.infos = map.infos.map(newInfo);
    this.infoIndex = new Map(this.infos.map((info, i) => [info.key, i]));
    this.status = new Uint8Array(n);
    this.rows = new Map();
    this.silenced = new Set();
    this.nodeNames = map.nodes ?? [];
    this.nodes = new Array(n);
    const shared = new Map();
    map.agents.forEach(([id, name, ip, status, group, info, silenced, node = 0], row) => {
      this.nodes[row] = node;
      if (silenced) this.silenced.add(row);
      this.info[row] = info;
      this.ids[row] = id; this.names[row] = name; this.ips[row] = ip; this.status[row] = status; this.groups[row] = group;
      const net = networkOf(ip);
      if (!shared.has(net)) shared.set(net, net);
      this.nets[row] = shared.get(net);
      this.rows.set(id, row);
      const was = before.rows.get(id);
      if (was !== undefined) { this.since[row] = before.since[was]; this.seen[row] = before.seen[was]; }
    });
  }

  // loadTimes reads the answer of /api/v1/times.
  loadTimes(times) {
    for (const [id, since, seen] of times.agents) {
      const row = this.rows.get(id);
      if (row !== undefined) { this.since[row] = since; this.seen[row] = seen; }
    }
  }

  get size() { return this.rows.size; }

  groupOf(row) { return this.groupNames[this.groups[row]] ?? ""; }

  get clustered() { return this.nodeNames.length > 0; }

  // nodeOf returns the node that has an agent, or had it last; "" outside a cluster.
  nodeOf(row) { return this.nodeNames[this.nodes[row]] ?? ""; }

  // indexOfNode returns the index of a node; that of this node for none.
  indexOfNode(name) {
    if (!name) return 0;
    const at = this.nodeNames.indexOf(name);
    return at < 0 ? this.nodeNames.push(name) - 1 : at;
  }

  // infoOf returns what is known of an agent: its Wazuh groups, its system and its version, as text.
  infoOf(row) { return this.infos[this.info[row]]; }

  get hasInfos() { return this.infos.some((info) => info.key !== newInfo({}).key); }

  // indexOfInfo returns the index of what an event has of an agent.
  indexOfInfo(e) {
    const info = newInfo(e);
    let at = this.infoIndex.get(info.key);
    if (at === undefined) {
      at = this.infos.push(info) - 1;
      this.infoIndex.set(info.key, at);
    }
    return at;
  }

  // change applies an event. It returns the row, and whether the agent's place on the map
  // changes.
  change(e) {
    const ip = e.ip ?? "";
    let row = this.rows.get(e.id);
    if (e.to === "disconnected" && (e.reason === "agent_removed" || e.reason === "agent_moved")) {
      if (this.clustered && e.reason === "agent_moved") return { row: -1, moved: false }; // the event of the other node shows where it is
      if (row === undefined) return { row: -1, moved: false };
      this.status[row] = gone;
      this.rows.delete(e.id);
      return { row, moved: true };
    }
    let moved = false;
    if (row === undefined) {
      row = this.ids.length;
      this.ids.push(e.id); this.names.push(e.name); this.ips.push(ip); this.nets.push(networkOf(ip)); this.groups.push(-1);
      this.info.push(this.indexOfInfo({})); this.nodes.push(0);
      if (row >= this.status.length) {
        const more = new Uint8Array(Math.max(2 * row, 64)).fill(gone);
        more.set(this.status);
        this.status = more;
      }
      this.rows.set(e.id, row);
      moved = true;
    }
    this.names[row] = e.name;
    if (e.wazuh_groups || e.os_name || e.os_version || e.agent_version) this.info[row] = this.indexOfInfo(e);
    if (this.ips[row] !== ip) {
      const net = networkOf(ip);
      moved ||= this.nets[row] !== net;
      this.ips[row] = ip; this.nets[row] = net;
    }
    this.status[row] = statuses.indexOf(e.to);
    this.since[row] = Math.floor(Date.parse(e.at) / 1000);
    const seen = e.to === "active" ? e.at : e.last_seen;
    if (seen) this.seen[row] = Math.floor(Date.parse(seen) / 1000);
    if (this.clustered && (e.node || e.reason !== "node_lost")) {
      const node = this.indexOfNode(e.node);
      moved ||= this.nodes[row] !== node;
      this.nodes[row] = node;
    }
    this.silenced[e.silenced ? "add" : "delete"](row);
    return { row, moved };
  }
}

function newInfo({ wazuh_groups: groups = [], os_name: name = "", os_version: number = "", agent_version: version = "" }) {
  return { groups, os: `${name} ${number}`.trim(), version, key: JSON.stringify([groups, name, number, version]) };
}

// networkOf returns the /24 or /64 of an address; "" if it is not known.
export function networkOf(ip = "") {
  if (ip.includes("/")) return ip;
  const four = ip.match(/^(\d+\.\d+\.\d+)\.\d+$/);
  if (four) return `${four[1]}.0/24`;
  if (!ip.includes(":")) return "";
  return `${wide(ip).slice(0, 4).map((x) => x.replace(/^0+(?=.)/, "")).join(":")}::/64`;
}

// wide returns the groups of an IPv6 address.
function wide(ip) {
  const [head, tail] = ip.split("%")[0].split("::");
  const left = head ? head.split(":") : [], right = tail ? tail.split(":") : [];
  const all = tail === undefined ? left : [...left, ...new Array(Math.max(8 - left.length - right.length, 0)).fill("0"), ...right];
  return all.map((x) => x.padStart(4, "0"));
}

// parseNetwork returns a function that reports whether an address, or a network, is in a network;
// null if the text is none.
export function parseNetwork(text) {
  const [address, length] = text.split("/"), wide = bitsOf(address);
  if (!wide || length !== undefined && !/^\d{1,3}$/.test(length) || Number(length ?? 0) > wide.length) return null;
  const bits = wide.slice(0, length ?? wide.length);
  return (ip) => {
    const [own, its] = ip.split("/"), other = bitsOf(own);
    return other?.length === wide.length && other.startsWith(bits) && (its === undefined || Number(its) >= bits.length);
  };
}

// bitsOf returns an address as 32 or 128 digits of 0 and 1; null if it is none.
function bitsOf(ip) {
  const four = ip.match(/^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/)?.slice(1).map(Number);
  if (four) return four.every((x) => x < 256) ? four.map((x) => x.toString(2).padStart(8, "0")).join("") : null;
  if (!/^[0-9a-f:]*:[0-9a-f:]*$/i.test(ip) || ip.includes(":::") || ip.split("::").length > 2) return null;
  const groups = wide(ip);
  return groups.length === 8 && groups.every((x) => x.length === 4) ? groups.map((x) => parseInt(x, 16).toString(2).padStart(16, "0")).join("") : null;
}

// sortKey returns an address as text that sorts as addresses do.
export function sortKey(ip) {
  if (ip.includes(":")) return `6${wide(ip.split("/")[0]).join("")}`;
  if (/^\d+\./.test(ip)) return `4${ip.split("/")[0].split(".").map((x) => x.padStart(3, "0")).join("")}`;
  return `9${ip}`;
}
