package managersim

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"
)

// What remoted of 5 does in its own way.

// startDaemonOf5 starts remoted: there is no AR queue, and the port for agents of 4 only
// with <legacy>.
func (r *remoted) startDaemonOf5(addr string) error {
	if _, err := r.store.resetConnections(synced); err != nil {
		return err
	}
	requests, err := listenStream(filepath.Join(r.cfg.Home, "queue/sockets", r.requestSocket()), r.cfg.Backlog)
	if err != nil {
		return err
	}
	r.daemon.markRunning()
	r.since, r.peers, r.slots = r.store.now(), make(map[string]*peer), make(chan struct{}, r.cfg.RequestPool)
	r.acceptConns(requests, r.acceptRequest)
	if !r.cfg.Wazuh5.NoLegacy {
		port, err := net.Listen("tcp", addr)
		if err != nil {
			return err
		}
		r.addr = port.Addr().(*net.TCPAddr).AddrPort()
		r.acceptConns(port, func(conn net.Conn) { r.goRun(func() { r.serveAgent(conn) }) })
	}
	err = r.control.startDaemon()
	r.changes.notifyAll()
	return err
}

// isAgentOf5 reports whether an agent's last version in the database is 5.
func (m *Manager) isAgentOf5(id int64) bool {
	var version string
	if err := m.store.db.QueryRow(`SELECT coalesce(version, '') FROM agent WHERE id = ?`, id).Scan(&version); err != nil {
		return false
	}
	return strings.HasPrefix(strings.TrimPrefix(version, "Wazuh "), "v5.")
}

func (r *remoted) buildStatsOf5() string {
	t := &r.messageCounters
	keepAlives, startups, goodbye := t.keepAlives.Load(), t.startups.Load(), t.goodbye.Load()
	queued := keepAlives + startups + goodbye
	return jsonResult(fmt.Sprintf(`{"uptime":%d,"timestamp":%d,"name":"wazuh-manager-remoted","metrics":{"bytes":{"received":%d,"sent":%d},`+
		`"keys_reload_count":0,"messages":{"received_breakdown":{"control":%d,"control_breakdown":{"keepalive":%d,"request":%d,"shutdown":%d,"startup":%d},`+
		`"events_failed":0,"dequeued_after":0,"discarded":0,"events":%d,"ping":0,"unknown":%d,"upgrade_ack":0},`+
		`"sent_breakdown":{"ack":%d,"discarded":0,"shared":0}},"queues":{"received":{"size":67108864,"usage":0}},"tcp_sessions":%d,`+
		`"control_messages_queue_usage":0,"control_messages_queue_breakdown":{"inserted":%d,"replaced":0,"processed":%d}}}`,
		r.since, r.store.now(), t.bytesIn.Load(), t.bytesOut.Load(), queued+t.answers.Load(), keepAlives, t.answers.Load(), goodbye, startups,
		t.events.Load(), t.unknown.Load(), t.acks.Load(), r.counters.agents.Load(), queued, queued))
}

// buildConfigOf5 returns a section of the settings. The port for agents of 5 is in none.
func (r *remoted) buildConfigOf5(section string, hasParameters bool) string {
	switch section {
	case "":
		if !hasParameters {
			return jsonError(5, "Empty parameters")
		}
		return jsonError(6, "Empty section")
	case "remote":
		port := fmt.Sprintf(`"local_ip":"%s","protocol":["TCP"],"port":"%d",`, r.addr.Addr(), r.addr.Port())
		if r.cfg.Wazuh5.NoLegacy {
			port = ""
		}
		return jsonResult(fmt.Sprintf(`{"remote":[{"connection":"secure","ipv6":"no",%s"queue_size":"131072",`+
			`"agents":{"allow_higher_versions":"no"},"connection_overtake_time":%d}]}`, port, r.cfg.Overtake/time.Second))
	case "global":
		return jsonResult(fmt.Sprintf(`{"global":{"remoted":{"agents_disconnection_alert_time":0,"agents_disconnection_time":%d}}}`,
			r.cfg.DisconnectionAge/time.Second))
	case "internal":
		recv, printout := 128, 19999
		if r.cfg.Wazuh5.NoLegacy {
			recv, printout = 0, 0
		}
		return jsonResult(fmt.Sprintf(`{"internal":{"remoted":{"recv_counter_flush":%d,"comp_average_printout":%d,"verify_msg_id":0,`+
			`"recv_timeout":1,"pass_empty_keyfile":1,"sender_pool":8,"request_pool":%d,"request_rto_sec":1,"request_rto_msec":0,"max_attempts":4,`+
			`"request_timeout":10,"response_timeout":%d,"shared_reload":10,"disk_storage":0,"rlimit_nofile":458752,"merge_shared":1,`+
			`"receive_chunk":4096,"send_chunk":4096,"buffer_relax":1,"send_buffer_size":131072,"send_timeout_to_retry":1,`+
			`"tcp_keepidle":30,"tcp_keepintvl":10,"tcp_keepcnt":3,"debug":0,"worker_pool":4,"control_msg_queue_size":16384,`+
			`"keyupdate_interval":10,"batch_events_capacity":131072,"batch_events_per_agent_capacity":131072,"queue_max_bytes":67108864,`+
			`"batch_events_max_bytes":33554432,"enrich_cache_expire_time":300,"legacy_task_polling_interval":900}}}`,
			recv, printout, r.cfg.RequestPool, r.cfg.ResponseTimeout/time.Second))
	}
	return jsonError(7, "Unrecognized or not configured section")
}
