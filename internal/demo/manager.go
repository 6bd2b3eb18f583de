package demo

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/wazuh-pulse/pulse/internal/clientkeys"
)

const (
	otherClientInterval = 250 * time.Millisecond // between two requests of the manager's other client
	otherClientTimeout  = 10 * time.Second       // for an answer
	writeBackTime       = 2 * time.Second        // for a loss to be written to the manager
)

// longestHome is how many bytes the path of a manager's home may have: its sockets
// are in it, and a socket's address has room for 107.
const longestHome = 107 - len("/queue/sockets/wdb-http.sock")

// Manager is a stock manager that runs on this host.
type Manager interface {
	Home() string
	AgentAddr() netip.AddrPort // for agents to connect to
	Load() ManagerLoad         // so far
	Writes() []string          // changes of its database, as requested from wazuh-db
	Events() []string          // messages to analysisd
	Close() error
}

// ManagerLoad counts what the clients of a manager's sockets asked of it.
type ManagerLoad struct {
	Requests   uint64 // to agents
	Requests5  uint64 // of these, to agents of Wazuh 5
	MostAtOnce int64  // of these
	Commands   uint64 // to remoted itself
	Queries    uint64 // of wazuh-db
	Bytes      uint64 // both ways
}

// managerHost is the stock manager that a demo's node is attached to, with
// another client of its sockets whose requests are timed.
type managerHost struct {
	Manager
	of5      bool // it is of Wazuh 5: it has no rules, and its agents cannot be asked
	began    time.Time
	before   ManagerLoad
	waits    []time.Duration // of the other client; used by its goroutine until that ends
	noAnswer int             // to the other client
}

// startManager starts a manager with the agents of a key file.
func (s *environment) startManager(start func(string, []clientkeys.Key) (Manager, error), keyFile string) error {
	set, _, err := clientkeys.ReadFile(keyFile)
	if err != nil {
		return err
	}
	home := filepath.Join(s.dir, "ossec")
	if len(home) > longestHome { // the temporary directory's path is long
		if s.tempHome, err = os.MkdirTemp("/tmp", "pulse-demo-"); err != nil {
			return err
		}
		home = filepath.Join(s.tempHome, "ossec")
	}
	if err := os.Mkdir(home, 0o700); err != nil {
		return err
	}
	m, err := start(home, set.Keys())
	if err != nil {
		return err
	}
	s.host = &managerHost{Manager: m, began: time.Now(), before: m.Load()}
	return nil
}

// runOtherClient requests remoted's settings over and over, as the Wazuh API
// does too, until ctx ends, and records how long it waits.
func (h *managerHost) runOtherClient(ctx context.Context) {
	pause := time.NewTicker(otherClientInterval)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		began := time.Now()
		if err := h.askConfig(ctx); err == nil {
			h.waits = append(h.waits, time.Since(began))
		} else if ctx.Err() == nil {
			h.noAnswer++
		}
	}
}

func (h *managerHost) askConfig(ctx context.Context) error {
	dialer := net.Dialer{Timeout: otherClientTimeout}
	conn, err := dialer.DialContext(ctx, "unix", filepath.Join(h.Home(), "queue/sockets/remote"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // it was only read from
	if err := conn.SetDeadline(time.Now().Add(otherClientTimeout)); err != nil {
		return err
	}
	const question = `{"command":"getconfig","parameters":{"section":"global"}}`
	if _, err := conn.Write(append(binary.LittleEndian.AppendUint32(nil, uint32(len(question))), question...)); err != nil {
		return err
	}
	_, err = io.ReadAll(conn)
	return err
}

// ManagerReport counts what a demo's manager received from the node that is
// attached to it.
type ManagerReport struct {
	Seconds      float64 `json:"seconds"`
	Requests     uint64  `json:"requests"`        // to agents
	MostAtOnce   int64   `json:"most_at_once"`    // of these
	Commands     uint64  `json:"remoted_queries"` // to remoted itself, without the other client's
	Queries      uint64  `json:"wazuh_db_queries"`
	Bytes        uint64  `json:"bytes"` // over its sockets, both ways
	OtherAsked   int     `json:"other_client_asked"`
	OtherRefused int     `json:"other_client_unanswered"`
	OtherWaitMS  float64 `json:"other_client_longest_wait_ms"`

	Wazuh5    bool   `json:"wazuh_5"`
	Requests5 uint64 `json:"requests_to_agents_of_5"` // each would be an error in the manager's log

	Losses   int      `json:"losses"`          // failures that only Pulse detected
	Silenced int      `json:"losses_silenced"` // of these, while the agent was silenced: no alert
	Written  int      `json:"losses_written"`  // of these, into the manager's database
	Alerts   int      `json:"rule_504_events"` // on analysisd's queue
	Events   int      `json:"pulse_events"`    // the same: Pulse's own, of agents that are lost
	Unknown  []string `json:"losses_unknown"`  // agents whose loss was not written to the manager
	Repeated []string `json:"told_twice"`      // agents with more events or writes than losses
}

// buildReport compares the losses with what the manager received, and counts
// the load. The node and the other client have ended.
func (h *managerHost) buildReport(losses map[string][]loss, end time.Time) *ManagerReport {
	now, was := h.Load(), h.before
	r := &ManagerReport{Seconds: time.Since(h.began).Seconds(), Requests: now.Requests - was.Requests, MostAtOnce: now.MostAtOnce,
		Commands: now.Commands - was.Commands - uint64(len(h.waits)+h.noAnswer), Queries: now.Queries - was.Queries,
		Bytes:      now.Bytes,
		OtherAsked: len(h.waits) + h.noAnswer, OtherRefused: h.noAnswer, Unknown: []string{}, Repeated: []string{}}
	for _, wait := range h.waits {
		r.OtherWaitMS = max(r.OtherWaitMS, toMilliseconds(wait))
	}
	r.Wazuh5, r.Requests5 = h.of5, now.Requests5-was.Requests5
	h.checkLosses(r, losses, end)
	return r
}

// loss is a failure that Pulse detected and the manager could not know of.
type loss struct {
	found, back time.Time // zero: it is not
	silenced    bool      // its alert waits, also in the manager
}

// checkLosses compares the losses with the writes and alerts. A loss that
// ended at once, or was detected in the last moment, may be missing there.
func (h *managerHost) checkLosses(r *ManagerReport, losses map[string][]loss, end time.Time) {
	writes, events := strings.Join(h.Writes(), "\n"), h.Events()
	for id, all := range losses {
		r.Losses += len(all)
		number := strings.TrimLeft(id, "0")
		written := strings.Count(writes, fmt.Sprintf(`update-connection-status {"id":%s,"connection_status":"disconnected"`, number))
		raised, sent := countLossEvents(events, id)
		r.Written, r.Alerts, r.Events = r.Written+written, r.Alerts+raised, r.Events+sent
		due, dueAlerts, silenced := 0, 0, 0
		for _, l := range all {
			if l.silenced {
				silenced++
			}
			back := l.back
			if back.IsZero() {
				back = end
			}
			if back.Sub(l.found) >= h.writeTime() {
				due++
				if !l.silenced && !h.of5 {
					dueAlerts++
				}
			}
		}
		r.Silenced += silenced
		if written > len(all) || raised > written-silenced || sent > len(all)-silenced {
			r.Repeated = append(r.Repeated, id)
		}
		if written < due || raised < dueAlerts || sent < dueAlerts {
			r.Unknown = append(r.Unknown, id)
		}
	}
}

// writeTime returns the longest until a loss is written to the manager.
func (h *managerHost) writeTime() time.Duration {
	if h.of5 {
		return pace5.written
	}
	return pace4.written
}

// countLossEvents counts the events about losses of an agent: monitord's, which raise rule
// 504, and Pulse's own.
func countLossEvents(events []string, id string) (raised, sent int) {
	for _, event := range events {
		switch own := strings.HasPrefix(event, "1:["+id+"] ("); {
		case own && strings.Contains(event, "->wazuh-monitord:ossec: Agent disconnected: "):
			raised++
		case own && strings.Contains(event, `-pulse->pulse:{"pulse":{"event":"agent_lost",`):
			sent++
		}
	}
	return raised, sent
}

// writeText writes the report as text.
func (r *ManagerReport) writeText(w io.Writer) {
	each := func(n uint64) float64 { return float64(n) / max(r.Seconds, 1) }
	if r.Wazuh5 {
		fmt.Fprintf(w, "Of %d losses that the manager could not know of, its database knows %d; it has no alert for them.\n"+
			"Requests to agents of Wazuh 5, which cannot be asked: %d.\n", r.Losses, r.Written, r.Requests5)
	} else {
		fmt.Fprintf(w, "Of %d losses that the manager could not know of (%d of silenced agents), its database knows %d, its rule 504 was\n"+
			"raised for %d, and Pulse's own events for its rules tell of %d.\n", r.Losses, r.Silenced, r.Written, r.Alerts, r.Events)
	}
	fmt.Fprintf(w, "What Pulse asked of the manager each second: %.1f requests to agents (%d at once at the most), %.1f to remoted itself,\n"+
		"%.1f to wazuh-db, %.1f KB over its sockets. Another client of remoted's asked %d times meanwhile, and never waited over %v.\n",
		each(r.Requests), r.MostAtOnce, each(r.Commands), each(r.Queries), each(r.Bytes)/1000, r.OtherAsked,
		roundDuration(time.Duration(r.OtherWaitMS*float64(time.Millisecond))))
}
