package attach

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
	"github.com/wazuh-pulse/pulse/internal/wazuhsock"
)

// relayDatabase is a proxy for wazuh-db, which forwards answers as change returns them.
func (s *fixture) relayDatabase(change func(request, answer []byte) []byte) {
	s.t.Helper()
	path := filepath.Join(s.manager.Home(), wazuhsock.DatabaseSocket)
	if err := os.Rename(path, path+".real"); err != nil {
		s.t.Fatal(err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		s.t.Fatal(err)
	}
	var work sync.WaitGroup
	s.t.Cleanup(func() { _ = l.Close(); work.Wait() })
	work.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() { relayConn(client, path+".real", change) })
		}
	})
}

func relayConn(client net.Conn, path string, change func(request, answer []byte) []byte) {
	defer client.Close()
	server, err := net.Dial("unix", path)
	if err != nil {
		return
	}
	defer server.Close()
	for {
		request, err := wazuhsock.ReadFrame(client)
		if err != nil {
			return
		}
		if _, err := server.Write(wazuhsock.AppendFrame(nil, string(request))); err != nil {
			return
		}
		for {
			answer, err := wazuhsock.ReadFrame(server)
			if err != nil {
				return
			}
			if _, err := client.Write(wazuhsock.AppendFrame(nil, string(change(request, answer)))); err != nil {
				return
			}
			if !bytes.HasPrefix(answer, []byte("due ")) {
				break
			}
		}
	}
}

// updateRows updates rows in the manager's table.
func (s *fixture) updateRows(set string, args ...any) {
	s.t.Helper()
	if err := s.manager.Exec("UPDATE agent SET "+set, args...); err != nil {
		s.t.Fatal(err)
	}
}

// enrolAgent enrols an agent, and waits until it is known.
func (s *fixture) enrolAgent(id int) {
	s.t.Helper()
	if err := s.manager.Enrol(keysFor(id)[id-1]); err != nil {
		s.t.Fatal(err)
	}
	s.waitUntil("the new one read", func() bool { _, known := s.fleet.Agent(detector.AgentID(id)); return known })
}

// What one agent's row holds blinds nobody to the others: they are read, those that are
// enrolled later are seen, and so is a goodbye. The row is logged once.
func TestOneBadRowBlindsNobody(t *testing.T) {
	const agents = 10
	long := strings.Repeat("x", 65_000)
	for _, c := range []struct {
		name, set string
		arg       any
		watched   int // agents that are seen to be active
		logged    string
	}{
		{"an address that is not UTF-8", "ip = CAST(? AS TEXT) WHERE id = 3", []byte("10.0.0.\xfc\xfc"), agents, "address"},
		{"one character of many bytes", "ip = CAST(? AS TEXT) WHERE id = 3", []byte("\xc0" + strings.Repeat("\x80", 65_000)), agents, "address"},
		{"an address as long as an answer", "ip = ? WHERE id = 3", long, agents, "address"},
		{"two that are half as long", "ip = ? WHERE id IN (3, 4)", long[:40_000], agents, "address"},
		{"all of them together", "ip = ?", long[:40_000], agents, "address"},
		{"an address of control characters", "ip = ? WHERE id = 3", strings.Repeat("\x01", 65_000), agents, "address"},
		{"an address that is a number", "ip = ? WHERE id = 3", 7, agents, ""},
		{"an address of bytes", "ip = ? WHERE id = 3", []byte{0, 1, 0xff}, agents, "address"},
		{"a name as long as an answer", "name = ? WHERE id = 3", long, agents - 1, "row"},
		{"a name of control characters", "name = ? WHERE id = 3", strings.Repeat("\x1b", 65_000), agents - 1, "row"},
		{"a registered address that is none", "register_ip = ? WHERE id = 3", long, agents - 1, "row"},
		{"a version longer than an answer", "version = ? WHERE id = 0 OR id = 3", long + long, agents, ""},
		{"a time that is a text", "last_keepalive = ? WHERE id = 3", long, agents - 1, ""},
		{"a time that is no number", "last_keepalive = ? WHERE id = 3", 1e300, agents, ""},
		{"a code that is a text", "status_code = ? WHERE id = 3", long, agents, ""},
		{"an id that is out of range", "id = ? WHERE id = 3", int64(1) << 40, agents - 1, "row"},
		{"an id that is far out of range", "id = ? WHERE id = 3", int64(1)<<62 + 1, agents - 1, "row"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := startManager(t, agents)
			s.updateRows("connection_status = 'active', node_name = 'node01', last_keepalive = ? WHERE id > 0", time.Now().Unix())
			s.updateRows(c.set, c.arg)
			s.startLink(stillSettings)
			s.waitForCount(detector.Active, c.watched)
			s.enrolAgent(agents + 1)
			s.updateRows("connection_status = 'disconnected', status_code = 3, disconnection_time = ? WHERE id = 5", time.Now().Unix())
			if got := s.waitForChange(5, detector.Disconnected); got.Reason != detector.AgentShutdown {
				t.Errorf("a goodbye is %v", got.Reason)
			}
			s.checkRowLogs(c.logged)
			if got := s.link.Stats(); got.Problem != "" || (got.Skipped > 0) != (c.logged == "row") || (got.Addresses > 0) != (c.logged == "address") {
				t.Errorf("%+v", got)
			}
		})
	}
}

// checkRowLogs checks that the expected row or address of agent 3 is logged once.
func (s *fixture) checkRowLogs(what string) {
	s.t.Helper()
	rows, addrs := len(s.log.linesAbout("a row of the manager's database is skipped")), len(s.log.linesAbout("agent 003 says that it is at"))
	if want := map[string]int{"row": 1}[what]; rows != want {
		s.t.Errorf("%d rows logged, want %d: %q", rows, want, s.log.allLines())
	}
	if want := map[string]int{"address": 1}[what]; addrs != want {
		s.t.Errorf("%d addresses logged, want %d: %q", addrs, want, s.log.allLines())
	}
	for _, line := range s.log.allLines() {
		if len(line) > 1000 {
			s.t.Errorf("a line of %d bytes", len(line))
		}
	}
}

// A row that does not come through even alone is passed over, and its agent, where it is
// known already, stays as it was: that is no proof that it was removed.
func TestARowThatCannotBeReadAloneIsPassedOver(t *testing.T) {
	t.Parallel()
	const agents = 300
	for name, spoil := range map[string]func(answer []byte) []byte{
		"cut off": func(answer []byte) []byte { return answer[:len(answer)/2] },
		"refused": func([]byte) []byte { return []byte("err Cannot execute Global database query; out of memory") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startManager(t, agents)
			s.updateRows("connection_status = 'active', node_name = 'node01', last_keepalive = ? WHERE id > 0", time.Now().Unix())
			var bad atomic.Bool
			bad.Store(true)
			s.relayDatabase(func(_, answer []byte) []byte {
				if bad.Load() && bytes.Contains(answer, []byte(`"n":"web-003"`)) {
					return spoil(answer)
				}
				return answer
			})
			s.startLink(stillSettings)
			s.waitForCount(detector.Active, agents-1)
			bad.Store(false)
			s.enrolAgent(agents + 1) // all are read again
			s.waitForCount(detector.Active, agents)
			bad.Store(true)
			s.enrolAgent(agents + 2)
			if got, known := s.fleet.Agent(3); !known || got.Status != detector.Active || s.link.Stats().Skipped != 1 {
				t.Errorf("%+v, %+v", got, s.link.Stats())
			}
			if got := s.log.linesAbout("is skipped"); len(got) != 1 || !strings.Contains(got[0], "agent 003") {
				t.Errorf("logged %q", got)
			}
		})
	}
}

// A loss whose row cannot be used keeps no other from being written.
func TestOneBadRowKeepsNoLossFromBeingWritten(t *testing.T) {
	t.Parallel()
	const agents = 5
	s := startManager(t, agents)
	s.relayDatabase(func(_, answer []byte) []byte {
		if bytes.Contains(answer, []byte(`"n":"web-003"`)) {
			return answer[:len(answer)/2]
		}
		return answer
	})
	w := s.startWriter(wazuhdb.ClusterRole{}, "connection_status = 'active', last_keepalive = ?", time.Now().Unix()-100)
	s.updateRows("connection_status = 'active', last_keepalive = ? WHERE id > 0", time.Now().Unix()-100)
	now := time.Now()
	for id := detector.AgentID(1); id <= agents; id++ {
		w.addStatusTask(&detector.Decision{Verdict: detector.Changed, ID: id, Time: now, From: detector.Active, To: detector.Disconnected, Reason: detector.ConnectionLost})
	}
	s.waitUntil("the others written", func() bool { return len(s.manager.Writes()) == agents-1 && len(s.manager.Events()) == agents-1 })
	s.waitForIdle(w)
	if got := s.log.linesAbout("its loss is written when it can"); len(got) != 1 || !strings.Contains(got[0], "003") {
		t.Errorf("logged %q", got)
	}
}
