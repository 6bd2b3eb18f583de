package managersim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
)

var (
	control  = []byte("#!-")
	startup  = []byte("agent startup ")
	shutdown = []byte("agent shutdown ")
	response = []byte("req ")
	ack      = []byte("#!-agent ack ")
)

// hear takes what an agent says.
func (r *remoted) hear(p *peer, payload []byte) {
	said, is := bytes.CutPrefix(payload, control)
	if !is {
		r.tally.events.Add(1)
		p.stats.events.Add(1)
		return
	}
	switch {
	case bytes.HasPrefix(said, response):
		r.tally.received(p, "request")
		r.answered(said[len(response):])
	case bytes.HasPrefix(said, startup):
		r.tally.received(p, "startup")
		p.told = ""
		if r.acknowledge(p) {
			r.update("update-keepalive", map[string]any{"id": id(p.id), "connection_status": "pending", "sync_status": r.cfg.sync(syncStatus)})
		}
	case bytes.HasPrefix(said, shutdown):
		r.tally.received(p, "shutdown")
		r.update("update-connection-status", map[string]any{"id": id(p.id), "connection_status": "disconnected",
			"sync_status": r.cfg.sync(syncStatus), "status_code": 3})
	case bytes.IndexByte(said, '\n') >= 0:
		r.tally.received(p, "keepalive")
		if r.acknowledge(p) {
			r.keepAlive(p, string(said))
		}
	default:
		r.tally.unknown.Add(1)
	}
}

func (r *remoted) acknowledge(p *peer) bool {
	r.tally.acks.Add(1)
	p.stats.acks.Add(1)
	return r.send(p, ack) == nil
}

// keepAlive writes what an agent tells of itself; if it is what it told before,
// only that it did.
func (r *remoted) keepAlive(p *peer, said string) {
	if said == p.told {
		r.update("update-keepalive", map[string]any{"id": id(p.id), "connection_status": "active", "sync_status": r.cfg.sync(syncKeepAlive)})
		return
	}
	first := p.told == ""
	p.told = said
	if first {
		r.group(p)
	}
	data := describe(said)
	host, _ := os.Hostname()
	data["id"], data["manager_host"], data["node_name"] = id(p.id), host, r.cfg.node()
	if data["agent_ip"] == nil {
		data["agent_ip"] = p.conn.RemoteAddr().(*net.TCPAddr).IP.String()
	}
	data["labels"] = fmt.Sprintf("#\"_manager_hostname\":%s\n#\"_agent_ip\":%s\n#\"_node_name\":%s\n#\"_wazuh_version\":%s",
		host, data["agent_ip"], r.cfg.node(), data["version"])
	data["connection_status"], data["sync_status"], data["group_config_status"] = "active", r.cfg.sync(syncAll), synced
	r.update("update-agent-data", data)
}

// group gives an agent that has no group the default one.
func (r *remoted) group(p *peer) {
	r.update("set-agent-groups", map[string]any{"mode": "empty_only", "sync_status": synced,
		"data": []any{map[string]any{"id": id(p.id), "groups": []string{"default"}}}})
}

var keepAliveForm = regexp.MustCompile(`^(.*?) \[([^|\]]*)\|([^:\]]*): ([^ \]]*)(?: \(([^)]*)\))?\] - (Wazuh \S+)(?: / ([0-9a-f]{32}))?$`)

// describe reads a keep-alive: "UNAME [OS|PLATFORM: VERSION (CODENAME)] - Wazuh
// vX / CHECKSUM", then the shared configuration's checksum and labels.
func describe(said string) map[string]any {
	data := make(map[string]any)
	put := func(name, value string) {
		if value != "" {
			data[name] = value
		}
	}
	first, rest, _ := strings.Cut(said, "\n")
	if f := keepAliveForm.FindStringSubmatch(first); f != nil {
		major, _, _ := strings.Cut(f[4], ".")
		for i, name := range []string{"os_uname", "os_name", "os_platform", "os_version", "os_codename", "version", "config_sum"} {
			put(name, f[i+1])
		}
		put("os_major", major)
		put("os_arch", f[1][strings.LastIndexByte(f[1], '|')+1:])
	}
	for line := range strings.Lines(rest) {
		line = strings.TrimSuffix(line, "\n")
		if ip, is := strings.CutPrefix(line, `#"_agent_ip":`); is {
			put("agent_ip", ip)
		} else if sum, is := strings.CutSuffix(line, " merged.mg"); is {
			put("merged_sum", sum)
		}
	}
	return data
}

// update runs one of wazuh-db's commands, as remoted does all the time. What
// goes wrong there, such as a status that is none, is a mistake of this package.
func (r *remoted) update(command string, data map[string]any) {
	text, err := json.Marshal(data)
	if err != nil {
		r.cfg.Log.Error("remoted cannot write", "command", command, "error", err)
		return
	}
	r.stall.do(func() {
		if _, err := r.store.global(command + " " + string(text)); err != nil {
			r.cfg.Log.Error("remoted cannot write", "command", command, "error", err)
		}
	})
}

// id is an agent's ID as a number.
func id(text string) int64 { return number(text) }
