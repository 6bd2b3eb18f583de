package managersim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// remotedCounters are the values of remoted's getstats.
type remotedCounters struct {
	bytesIn, bytesOut                      atomic.Uint64
	keepAlives, answers, startups, goodbye atomic.Uint64
	events, unknown, acks, controls        atomic.Uint64
	requests                               atomic.Uint64
}

// peerCounters are the same for one connection.
type peerCounters struct {
	since                                  int64
	keepAlives, answers, startups, goodbye atomic.Uint64
	events, acks, requests, controls       atomic.Uint64
}

// countControl counts a control message.
func (t *remotedCounters) countControl(p *peer, kind string) {
	all, its := map[string]*atomic.Uint64{"keepalive": &t.keepAlives, "request": &t.answers, "startup": &t.startups, "shutdown": &t.goodbye},
		map[string]*atomic.Uint64{"keepalive": &p.counters.keepAlives, "request": &p.counters.answers, "startup": &p.counters.startups, "shutdown": &p.counters.goodbye}
	all[kind].Add(1)
	its[kind].Add(1)
}

// answerCommand answers one of remoted's own commands, with the recorded
// texts.
func (r *remoted) answerCommand(text []byte) string {
	var q struct {
		Command    string `json:"command"`
		Parameters struct {
			Section string          `json:"section"`
			Agents  json.RawMessage `json:"agents"`
			Last    *int64          `json:"last_id"`
		} `json:"parameters"`
	}
	if json.Unmarshal(text, &q) != nil {
		return jsonError(2, "Invalid JSON input")
	}
	switch q.Command {
	case "":
		return jsonError(3, "Empty command")
	case "getstats":
		if r.cfg.isWazuh5() {
			return r.buildStatsOf5()
		}
		return r.buildStats()
	case "getagentsstats":
		if r.cfg.isWazuh5() {
			break
		}
		return r.buildAgentStats(q.Parameters.Agents, q.Parameters.Last)
	case "getconfig":
		if r.cfg.isWazuh5() {
			return r.buildConfigOf5(q.Parameters.Section, bytes.Contains(text, []byte(`"parameters"`)))
		}
		return r.buildConfig(q.Parameters.Section)
	}
	return jsonError(4, "Unrecognized command")
}

func jsonError(code int, message string) string {
	return fmt.Sprintf(`{"error":%d,"message":%q,"data":{}}`, code, message)
}

func jsonResult(data string) string { return `{"error":0,"message":"ok","data":` + data + `}` }

func (r *remoted) buildStats() string {
	t := &r.messageCounters
	keepAlives, answers, startups, goodbye := t.keepAlives.Load(), t.answers.Load(), t.startups.Load(), t.goodbye.Load()
	queued := keepAlives + startups + goodbye
	return jsonResult(fmt.Sprintf(`{"uptime":%d,"timestamp":%d,"name":"wazuh-remoted","metrics":{"bytes":{"received":%d,"sent":%d},`+
		`"keys_reload_count":0,"messages":{"received_breakdown":{"control":%d,"control_breakdown":{"keepalive":%d,"request":%d,"shutdown":%d,"startup":%d},`+
		`"dequeued_after":0,"discarded":0,"event":%d,"ping":0,"unknown":%d},"sent_breakdown":{"ack":%d,"ar":%d,"discarded":0,"request":%d,"sca":0,"shared":0}},`+
		`"queues":{"received":{"size":131072,"usage":0}},"tcp_sessions":%d,"control_messages_queue_usage":0,`+
		`"control_messages_queue_breakdown":{"inserted":%d,"replaced":0,"processed":%d}}}`,
		r.since, r.store.now(), t.bytesIn.Load(), t.bytesOut.Load(), queued+answers, keepAlives, answers, goodbye, startups,
		t.events.Load(), t.unknown.Load(), t.acks.Load(), t.controls.Load(), t.requests.Load(), r.counters.agents.Load(), queued, queued))
}

// buildAgentStats returns the counters of the agents that are named, or of all
// from one on.
func (r *remoted) buildAgentStats(which json.RawMessage, last *int64) string {
	var ids []int64
	if string(which) == `"all"` {
		if last == nil {
			return jsonError(10, "Empty last id")
		}
		r.peersMu.Lock()
		for agent := range r.peers {
			if n := parseID(agent); n > *last {
				ids = append(ids, n)
			}
		}
		r.peersMu.Unlock()
		slices.Sort(ids)
	} else if json.Unmarshal(which, &ids) != nil {
		return jsonError(8, "Invalid agents parameter") // this text was not recorded
	}
	var all []string
	for _, n := range ids {
		if p := r.findPeer(fmt.Sprintf("%03d", n)); p != nil {
			all = append(all, p.counters.buildJSON(n))
		}
	}
	return jsonResult(fmt.Sprintf(`{"timestamp":%d,"name":"wazuh-remoted","agents":[%s]}`, r.store.now(), strings.Join(all, ",")))
}

func (t *peerCounters) buildJSON(id int64) string {
	keepAlives, answers, startups, goodbye := t.keepAlives.Load(), t.answers.Load(), t.startups.Load(), t.goodbye.Load()
	return fmt.Sprintf(`{"uptime":%d,"id":%d,"metrics":{"messages":{"received_breakdown":{"control":%d,`+
		`"control_breakdown":{"keepalive":%d,"request":%d,"shutdown":%d,"startup":%d},"event":%d},`+
		`"sent_breakdown":{"ack":%d,"ar":%d,"discarded":0,"request":%d,"sca":0,"shared":0}}}}`,
		t.since, id, keepAlives+answers+startups+goodbye, keepAlives, answers, goodbye, startups, t.events.Load(),
		t.acks.Load(), t.controls.Load(), t.requests.Load())
}

// buildConfig returns a section of the settings.
func (r *remoted) buildConfig(section string) string {
	switch section {
	case "":
		return jsonError(6, "Empty section")
	case "remote":
		return jsonResult(fmt.Sprintf(`{"remote":[{"connection":"secure","ipv6":"no","local_ip":"%s","protocol":["TCP","UDP"],"port":"%d",`+
			`"queue_size":"131072","agents":{"allow_higher_versions":"no"},"connection_overtake_time":%d}]}`,
			r.addr.Addr(), r.addr.Port(), r.cfg.Overtake/time.Second))
	case "global":
		return jsonResult(fmt.Sprintf(`{"global":{"remoted":{"agents_disconnection_alert_time":0,"agents_disconnection_time":%d}}}`,
			r.cfg.DisconnectionAge/time.Second))
	case "internal":
		return jsonResult(fmt.Sprintf(`{"internal":{"remoted":{"recv_counter_flush":128,"comp_average_printout":19999,"verify_msg_id":0,`+
			`"recv_timeout":1,"pass_empty_keyfile":1,"sender_pool":8,"request_pool":%d,"request_rto_sec":1,"request_rto_msec":0,"max_attempts":4,`+
			`"request_timeout":10,"response_timeout":%d,"shared_reload":10,"disk_storage":0,"rlimit_nofile":458752,"merge_shared":1,`+
			`"guess_agent_group":0,"receive_chunk":4096,"send_chunk":4096,"buffer_relax":1,"send_buffer_size":131072,"send_timeout_to_retry":1,`+
			`"tcp_keepidle":30,"tcp_keepintvl":10,"tcp_keepcnt":3,"debug":2,"worker_pool":4,"control_msg_queue_size":16384,`+
			`"keyupdate_interval":10,"router_forwarding_disabled":0,"state_interval":5}}}`, r.cfg.RequestPool, r.cfg.ResponseTimeout/time.Second))
	}
	return jsonError(7, "Unrecognized or not configured section")
}
