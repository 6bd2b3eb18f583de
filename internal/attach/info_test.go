package attach

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
	"github.com/wazuh-pulse/pulse/internal/wazuhsock"
)

// waitForInfo waits until the detector has the info of an agent.
func (s *fixture) waitForInfo(id detector.AgentID, want detector.Info) {
	s.t.Helper()
	var got detector.Record
	defer func() {
		if s.t.Failed() {
			s.t.Logf("the last info: %+v", detector.ReadInfo(got.Info))
		}
	}()
	s.waitUntil("the agent's info", func() bool { got, _ = s.fleet.Agent(id); return detector.ReadInfo(got.Info) == want })
}

func TestAnAgentsGroupsSystemAndVersionAreThoseOfItsRow(t *testing.T) {
	t.Parallel()
	s := startManager(t, 3)
	s.updateRows("connection_status = 'active', node_name = 'node01', last_keepalive = ? WHERE id > 0", time.Now().Unix())
	s.updateRows(`os_name = 'Ubuntu', os_version = '22.04', version = 'Wazuh v4.9.2', "group" = 'default,web' WHERE id = 1`)
	s.startLink(stillSettings)
	s.waitForInfo(1, detector.Info{Groups: "default,web", OSName: "Ubuntu", OSVersion: "22.04", Version: "v4.9.2"})
	s.waitForInfo(2, detector.Info{})

	s.updateRows(`"group" = 'default', version = 'Wazuh v4.10.0' WHERE id = 1`)
	s.enrolAgent(4) // all are read again
	s.waitForInfo(1, detector.Info{Groups: "default", OSName: "Ubuntu", OSVersion: "22.04", Version: "v4.10.0"})
	s.updateRows(`"group" = NULL, os_version = NULL WHERE id = 1`)
	s.enrolAgent(5)
	s.waitForInfo(1, detector.Info{OSName: "Ubuntu", Version: "v4.10.0"})
}

// An agent that has started again, as after an upgrade, is read at once.
func TestTheInfoOfAnAgentThatConnectsIsReadWithItsAddress(t *testing.T) {
	t.Parallel()
	s := startManager(t, 2)
	s.updateRows("connection_status = 'active', node_name = 'node01', version = 'Wazuh v4.9.2', last_keepalive = ? WHERE id > 0", time.Now().Unix())
	s.startLink(stillSettings)
	s.waitForInfo(1, detector.Info{Version: "v4.9.2"})
	s.updateRows("connection_status = 'disconnected', status_code = 3, disconnection_time = ? WHERE id = 1", time.Now().Unix())
	s.waitForChange(1, detector.Disconnected)
	s.updateRows("connection_status = 'active', version = 'Wazuh v4.10.0', os_name = 'Fedora', last_keepalive = ? WHERE id = 1", time.Now().Unix())
	s.waitForInfo(1, detector.Info{Version: "v4.10.0", OSName: "Fedora"})
}

// A manager whose table lacks a column is read all the same, and so are the columns that
// it has.
func TestAColumnThatATableLacksLeavesItsFieldEmpty(t *testing.T) {
	t.Parallel()
	for column, want := range map[string]detector.Info{
		"os_name":    {Groups: "default", OSVersion: "22.04", Version: "v4.3.11"},
		"os_version": {Groups: "default", OSName: "Ubuntu", Version: "v4.3.11"},
		`"group"`:    {OSName: "Ubuntu", OSVersion: "22.04", Version: "v4.3.11"},
	} {
		t.Run(strings.Trim(column, `"`), func(t *testing.T) {
			t.Parallel()
			s := startManager(t, 2)
			s.updateRows(`connection_status = 'active', node_name = 'node01', version = 'Wazuh v4.3.11', os_name = 'Ubuntu', os_version = '22.04', "group" = 'default',
 last_keepalive = ? WHERE id > 0`, time.Now().Unix())
			if err := s.manager.Exec("ALTER TABLE agent DROP COLUMN " + column); err != nil {
				t.Fatal(err)
			}
			s.startLink(stillSettings)
			s.waitForCount(detector.Active, 2)
			s.waitForInfo(1, want)
			if got := s.link.Stats(); got.Problem != "" || got.Skipped != 0 {
				t.Errorf("%+v", got)
			}
		})
	}
}

// Whatever an agent has sent of itself, its own row alone is affected, and what becomes of
// it is printable and bounded.
func TestNoAgentsInfoBlindsPulseToAnother(t *testing.T) {
	const agents = 10
	long := strings.Repeat("x", 65_000)
	for name, spoil := range map[string]struct {
		column string
		value  any
		want   detector.Info
	}{
		"a system as long as an answer":    {"os_name", long, detector.Info{OSName: long[:128]}},
		"a system of control characters":   {"os_name", strings.Repeat("\x01", 65_000), detector.Info{OSName: strings.Repeat("?", 128)}},
		"a system that is not UTF-8":       {"os_name", []byte("Ubuntu \xfc"), detector.Info{OSName: "Ubuntu \ufffd"}},
		"a version as long as an answer":   {"version", "Wazuh " + long, detector.Info{Version: long[:64]}},
		"a version that is a number":       {"os_version", 22.04, detector.Info{OSVersion: "22.04"}},
		"groups as long as an answer":      {`"group"`, strings.Repeat("web,", 16_000), detector.Info{Groups: "web"}},
		"groups that no manager has given": {`"group"`, "web,\x1b[2J,\n,db", detector.Info{Groups: "web,db"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startManager(t, agents)
			s.updateRows("connection_status = 'active', node_name = 'node01', last_keepalive = ? WHERE id > 0", time.Now().Unix())
			s.updateRows(spoil.column+" = ? WHERE id = 3", spoil.value)
			s.updateRows("os_name = 'Ubuntu' WHERE id > 3")
			s.startLink(stillSettings)
			s.waitForCount(detector.Active, agents)
			s.waitForInfo(3, spoil.want)
			s.waitForInfo(agents, detector.Info{OSName: "Ubuntu"})
			if got := s.link.Stats(); got.Problem != "" || got.Skipped != 0 {
				t.Errorf("%+v", got)
			}
		})
	}
}

// The info comes with rows that are read anyway: no statement is about a single agent, and
// there are no more than with nothing known of them.
func TestInfosTakeNoStatementsOfTheirOwn(t *testing.T) {
	t.Parallel()
	const agents = 600
	s := startManager(t, agents)
	s.updateRows(`connection_status = 'active', node_name = 'node01', version = 'Wazuh v4.14.7', os_name = 'Debian GNU/Linux', os_version = '12', "group" = 'default,web',
 last_keepalive = ? WHERE id > 0`, time.Now().Unix())
	columns, pages := 0, 0
	s.relayDatabase(func(request, answer []byte) []byte {
		switch {
		case bytes.Contains(request, []byte("id < 0")):
			columns++
		case bytes.Contains(request, []byte("[os_name]")):
			pages++
		}
		return answer
	})
	s.startLink(stillSettings)
	s.waitForCount(detector.Active, agents)
	s.waitForInfo(agents, detector.Info{Groups: "default,web", OSName: "Debian GNU/Linux", OSVersion: "12", Version: "v4.14.7"})
	if s.stopped(); columns != 1 || pages > 2*3 {
		t.Errorf("%d statements about the columns, %d about rows", columns, pages)
	}
}

// What a reading of a large fleet takes, and what the infos are of it: the rows are the
// longer for them, so that fewer fit into an answer.
func TestTheInfosOfTenThousandAgentsTakeFewStatementsMore(t *testing.T) {
	t.Parallel()
	const agents = 10_000
	s := startManager(t, agents)
	s.updateRows("connection_status = 'active', node_name = 'node01', ip = '10.20.30.40', last_keepalive = ? WHERE id > 0", time.Now().Unix())
	db := wazuhdb.NewClient(wazuhsock.Home(s.manager.Home()), wazuhdb.ClusterRole{}, patience)
	t.Cleanup(db.Close)
	read := func() (statements, bytesIn int64) {
		before := db.CountTraffic()
		rows, skipped, err := db.ReadAgents(t.Context())
		if err != nil || len(rows) != agents || len(skipped) != 0 {
			t.Fatalf("%d rows, %d skipped, %v", len(rows), len(skipped), err)
		}
		after := db.CountTraffic()
		return after.Statements - before.Statements, after.BytesIn - before.BytesIn
	}
	read() // the schema, too
	_, less := read()
	s.updateRows(`version = 'Wazuh v4.14.7', os_name = 'Debian GNU/Linux', os_version = '12', "group" = 'default,web' WHERE id > 0`)
	statements, more := read()
	t.Logf("%d statements; %d bytes, of which %d are of infos", statements, more, more-less)
	if statements > 45 || more-less > 100*agents {
		t.Errorf("%d statements, %d bytes more", statements, more-less)
	}
}
