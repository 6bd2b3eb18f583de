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

// handlePayload handles a message of an agent.
func (r *remoted) handlePayload(p *peer, payload []byte) {
	said, is := bytes.CutPrefix(payload, control)
	if !is {
		r.messageCounters.events.Add(1)
		p.counters.events.Add(1)
		return
	}
	switch {
	case bytes.HasPrefix(said, response):
		r.messageCounters.countControl(p, "request")
		r.handleAnswer(said[len(response):])
	case bytes.HasPrefix(said, startup):
		r.messageCounters.countControl(p, "startup")
		p.lastKeepAlive = ""
		if r.sendAck(p) {
			r.updateStore("update-keepalive", map[string]any{"id": parseID(p.id), "connection_status": "pending", "sync_status": r.cfg.syncStatus(syncStatusOnly)})
		}
	case bytes.HasPrefix(said, shutdown):
		r.messageCounters.countControl(p, "shutdown")
		r.updateStore("update-connection-status", map[string]any{"id": parseID(p.id), "connection_status": "disconnected",
			"sync_status": r.cfg.syncStatus(syncStatusOnly), "status_code": 3})
	case bytes.IndexByte(said, '\n') >= 0:
		r.messageCounters.countControl(p, "keepalive")
		if r.sendAck(p) {
			r.storeKeepAlive(p, string(said))
		}
	default:
		r.messageCounters.unknown.Add(1)
	}
}

func (r *remoted) sendAck(p *peer) bool {
	r.messageCounters.acks.Add(1)
	p.counters.acks.Add(1)
	return r.sendPayload(p, ack) == nil
}

// storeKeepAlive stores an agent's keep-alive; if it is the same as the one
// before, only its time, which in 5 makes no difference.
func (r *remoted) storeKeepAlive(p *peer, said string) {
	if said == p.lastKeepAlive && !r.cfg.isWazuh5() {
		r.updateStore("update-keepalive", map[string]any{"id": parseID(p.id), "connection_status": "active", "sync_status": r.cfg.syncStatus(syncKeepAlive)})
		return
	}
	first, sync := p.lastKeepAlive == "", syncAll
	if said == p.lastKeepAlive {
		sync = syncKeepAlive
	}
	p.lastKeepAlive = said
	if first {
		r.assignDefaultGroup(p)
	}
	data := parseKeepAlive(said)
	host, _ := os.Hostname()
	data["id"], data["manager_host"], data["node_name"] = parseID(p.id), host, r.cfg.nodeName()
	if data["agent_ip"] == nil {
		data["agent_ip"] = p.conn.RemoteAddr().(*net.TCPAddr).IP.String()
	}
	data["labels"] = fmt.Sprintf("#\"_manager_hostname\":%s\n#\"_agent_ip\":%s\n#\"_node_name\":%s\n#\"_wazuh_version\":%s",
		host, data["agent_ip"], r.cfg.nodeName(), data["version"])
	data["connection_status"], data["sync_status"], data["group_config_status"] = "active", r.cfg.syncStatus(sync), synced
	r.updateStore("update-agent-data", data)
}

// assignDefaultGroup gives an agent without a group the default one.
func (r *remoted) assignDefaultGroup(p *peer) {
	r.updateStore("set-agent-groups", map[string]any{"mode": "empty_only", "sync_status": synced,
		"data": []any{map[string]any{"id": parseID(p.id), "groups": []string{"default"}}}})
}

var keepAliveForm = regexp.MustCompile(`^(.*?) \[([^|\]]*)\|([^:\]]*): ([^ \]]*)(?: \(([^)]*)\))?\] - (Wazuh \S+)(?: / ([0-9a-f]{32}))?$`)

// parseKeepAlive parses a keep-alive: "UNAME [OS|PLATFORM: VERSION (CODENAME)]
// - Wazuh vX / CHECKSUM", then the shared configuration's checksum and labels.
func parseKeepAlive(said string) map[string]any {
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

// updateStore runs one of wazuh-db's commands, as remoted does. An error, such
// as an invalid status, is a mistake of this package.
func (r *remoted) updateStore(command string, data map[string]any) {
	text, err := json.Marshal(data)
	if err != nil {
		r.cfg.Log.Error("remoted cannot write", "command", command, "error", err)
		return
	}
	r.stall.runWhenResumed(func() {
		if r.wazuhDB.lost.Load() {
			return
		}
		if _, err := r.store.runCommand(command + " " + string(text)); err != nil {
			r.cfg.Log.Error("remoted cannot write", "command", command, "error", err)
		}
	})
}

// parseID returns an agent's ID as a number.
func parseID(text string) int64 { return parseNumber(text) }
