package attach

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/remoted"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
	"github.com/wazuh-pulse/pulse/internal/wazuhsock"
)

// signOfLife writes an agent's keep-alive, now, as remoted has wazuh-db do.
func (m *manager5) signOfLife(id int, version, status string) {
	m.setRow(id, map[string]any{"version": version, "connection_status": status, "last_keepalive": time.Now().Unix(), "ip": "10.0.0.1", "status_code": 0})
}

// live has an agent's keep-alives written every period, until a time.
func (m *manager5) live(id int, period, until time.Duration) {
	for at := time.Duration(0); at < until; at += period {
		m.signOfLife(id, "v5.0.0", "active")
		time.Sleep(min(period, until-at))
	}
}

// startAt sets when both daemons were started.
func (m *manager5) startAt(at time.Time) {
	m.touch(wazuhsock.DatabaseSocket, at)
	m.touch(wazuhsock.RequestSocket, at)
}

// inBubble runs a test with fake time and a manager of Wazuh 5 whose daemons have run for long.
func inBubble(t *testing.T, test func(t *testing.T, m *manager5)) {
	t.Helper()
	m := startManager5(t)
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Hour)
		m.startAt(time.Now().Add(-time.Hour))
		test(t, m)
	})
}

// lossOf returns the only loss of an agent.
func (b *beside5) lossOf(t *testing.T, id detector.AgentID) detector.Decision {
	t.Helper()
	var lost []detector.Decision
	for _, d := range b.changesOf(id, time.Time{}) {
		if d.To == detector.Disconnected {
			lost = append(lost, d)
		}
	}
	if len(lost) != 1 {
		t.Fatalf("agent %v was lost %d times: %+v; log: %q", id, len(lost), lost, b.log.allLines())
	}
	return lost[0]
}

func (b *beside5) checkNoLoss(t *testing.T, ids ...detector.AgentID) {
	t.Helper()
	for _, id := range ids {
		for _, d := range b.changesOf(id, time.Time{}) {
			if d.To == detector.Disconnected {
				t.Errorf("agent %v is lost: %v", id, d.Reason)
			}
		}
	}
}

func TestALossIsKnownAfterTheThrottleNotifyAndMargin(t *testing.T) {
	for _, c := range []struct {
		options string
		period  time.Duration
		want    time.Duration
	}{
		{"", time.Minute, 80 * time.Second},
		{"# remoted.control_keepalive_throttle=5\nremoted.debug=2\n", time.Minute, 80 * time.Second},
		{"remoted.control_keepalive_throttle=10\n", 10 * time.Second, 30 * time.Second},
		{"remoted.control_keepalive_throttle=1\n", 10 * time.Second, 21 * time.Second},
		{" remoted.control_keepalive_throttle=10\n", time.Minute, 80 * time.Second}, // which the manager ignores
	} {
		t.Run(c.options, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, m *manager5) {
				m.writeFile(wazuhsock.Options5, c.options)
				m.touch(wazuhsock.Options5, time.Now().Add(-2*time.Hour))
				m.setRow(1024, nil)
				b := attachTo5(t, m)
				defer b.stop()
				time.Sleep(5 * time.Second)
				m.live(1024, c.period, 5*time.Minute)
				died := time.Now()
				time.Sleep(2 * time.Minute)
				got := b.lossOf(t, 1024)
				if after := got.Time.Sub(died); after > c.want || after < 0 || got.Reason != detector.KeepAliveTimeout {
					t.Errorf("known after %v as %v, want %v", after, got.Reason, c.want)
				}
				if silent := got.Time.Sub(got.LastSeenTime).Round(time.Second); silent != c.want {
					t.Errorf("silent for %v, want %v", silent, c.want)
				}
				if b.agents.countRequests(1024) > 0 || len(m.listRequests()) > 0 {
					t.Errorf("asked, %q", m.listRequests())
				}
			})
		})
	}
}

// remoted reads its options when it starts: a shorter throttle that is written while it
// runs is not in effect yet, and a longer one may be.
func TestAChangedThrottleIsFollowedWhenRemotedDoes(t *testing.T) {
	inBubble(t, func(t *testing.T, m *manager5) {
		m.setRow(1024, nil)
		b := attachTo5(t, m)
		defer b.stop()
		m.live(1024, time.Minute, 3*time.Minute)
		m.writeFile(wazuhsock.Options5, "remoted.control_keepalive_throttle=10")
		m.touch(wazuhsock.Options5, time.Now())
		m.live(1024, time.Minute, 5*time.Minute)
		b.checkNoLoss(t, 1024)
		m.touch(wazuhsock.RequestSocket, time.Now())
		m.live(1024, 10*time.Second, 5*time.Minute)
		time.Sleep(time.Minute)
		if got := b.lossOf(t, 1024); got.Time.Sub(got.LastSeenTime).Round(time.Second) != 30*time.Second {
			t.Errorf("lost after %v", got.Time.Sub(got.LastSeenTime))
		}
		if len(b.log.linesAbout("written_every=10s")) != 1 {
			t.Errorf("%q", b.log.allLines())
		}
		m.writeFile(wazuhsock.Options5, "remoted.control_keepalive_throttle=120")
		m.touch(wazuhsock.Options5, time.Now())
		m.live(1024, 2*time.Minute, 10*time.Minute)
		b.lossOf(t, 1024)
	})
}

// Agents whose own keep-alives come once a minute are written after one minute or two: after
// the first surprise, that is known of them.
func TestAnAgentsOwnRhythmIsLearned(t *testing.T) {
	inBubble(t, func(t *testing.T, m *manager5) {
		m.setRow(1024, nil)
		b := attachTo5(t, m)
		defer b.stop()
		for range 8 {
			m.live(1024, time.Minute, time.Minute)
			m.live(1024, 2*time.Minute, 2*time.Minute)
		}
		learned := time.Now()
		for range 20 {
			m.live(1024, time.Minute, time.Minute)
			m.live(1024, 2*time.Minute, 2*time.Minute)
		}
		for _, d := range b.changesOf(1024, learned) {
			t.Errorf("%v to %v (%v)", d.Time, d.To, d.Reason)
		}
	})
}

// wazuh-db that was killed has lost what it wrote last, and the notifies that it lost count
// for the throttle: living agents seem to stand still for longer than ever.
func TestLossesAreHeldAfterARestartOfADaemon(t *testing.T) {
	for name, restart := range map[string]func(m *manager5, b *beside5){
		"wazuh-db": func(m *manager5, b *beside5) {
			m.setDown(true, false)
			m.closeConns()
			time.Sleep(18 * time.Second)
			m.touch(wazuhsock.DatabaseSocket, time.Now())
			m.setDown(false, false)
		},
		"wazuh-db at once": func(m *manager5, b *beside5) {
			time.Sleep(18 * time.Second)
			m.closeConns()
			m.touch(wazuhsock.DatabaseSocket, time.Now())
		},
		"remoted": func(m *manager5, b *beside5) {
			m.setDown(false, true)
			time.Sleep(18 * time.Second)
			m.touch(wazuhsock.RequestSocket, time.Now())
			m.setDown(false, false)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, m *manager5) {
				m.setRow(1024, nil)
				m.setRow(1025, nil)
				b := attachTo5(t, m)
				defer b.stop()
				go m.live(1025, time.Minute, 5*time.Minute)
				m.live(1024, time.Minute, 5*time.Minute)
				last := time.Now().Add(-time.Minute)
				restart(m, b)
				time.Sleep(time.Until(last.Add(125 * time.Second)))
				m.signOfLife(1024, "v5.0.0", "active") // it lives
				time.Sleep(55 * time.Second)           // 1025 died
				b.checkNoLoss(t, 1024)
				if got := b.lossOf(t, 1025); got.Reason != detector.KeepAliveTimeout {
					t.Errorf("%+v", got)
				}
			})
		})
	}
}

// A Pulse that starts right after such a restart does not call its agents away either.
func TestAgentsThatStandStillAreNotAwayForANewPulse(t *testing.T) {
	inBubble(t, func(t *testing.T, m *manager5) {
		m.setRow(1024, map[string]any{"version": "v5.0.0", "connection_status": "active", "last_keepalive": time.Now().Unix() - 100})
		m.touch(wazuhsock.DatabaseSocket, time.Now().Add(-10*time.Second))
		b := attachTo5(t, m)
		defer b.stop()
		time.Sleep(25 * time.Second)
		m.live(1024, time.Minute, time.Minute)
		b.checkNoLoss(t, 1024)
		if got, _ := b.link.cfg.Fleet.Agent(1024); got.Status != detector.Active {
			t.Errorf("%+v", got)
		}
	})
}

// Status codes decide nothing but that of a shutdown, and pending is alive.
func TestOnlyAShutdownIsBelievedOfARow(t *testing.T) {
	inBubble(t, func(t *testing.T, m *manager5) {
		m.setRow(1024, nil)
		b := attachTo5(t, m)
		defer b.stop()
		for _, set := range []map[string]any{
			{"connection_status": "disconnected", "status_code": 4, "disconnection_time": 1}, // written by somebody, falsely
			{"connection_status": "active", "status_code": 4},
			{"connection_status": "active", "status_code": 5},
			{"connection_status": "disconnected", "status_code": 2},
			{"connection_status": "disconnected", "status_code": 0},
		} {
			m.signOfLife(1024, "v5.0.0", "active")
			time.Sleep(5 * time.Second)
			if _, ok := set["disconnection_time"]; ok || set["connection_status"] == "disconnected" {
				set["disconnection_time"] = time.Now().Unix()
			}
			m.setRow(1024, set)
			time.Sleep(55 * time.Second)
		}
		m.signOfLife(1024, "v5.0.0", "pending")
		time.Sleep(61 * time.Second)
		m.signOfLife(1024, "v5.0.0", "active")
		time.Sleep(5 * time.Second)
		b.checkNoLoss(t, 1024)
		left := time.Now()
		m.setRow(1024, map[string]any{"connection_status": "disconnected", "status_code": 3, "disconnection_time": time.Now().Unix()})
		time.Sleep(10 * time.Second)
		if got := b.lossOf(t, 1024); got.Reason != detector.AgentShutdown || got.Time.Sub(left) > 3*time.Second {
			t.Errorf("%v after %v", got.Reason, got.Time.Sub(left))
		}
		back := time.Now()
		m.signOfLife(1024, "v5.0.0", "pending")
		time.Sleep(5 * time.Second)
		if got := b.changesOf(1024, back.Add(-time.Second)); len(got) != 1 || got[0].To != detector.Pending {
			t.Errorf("back: %+v", got)
		}
		if got := m.listWrites(); len(got) > 0 {
			t.Errorf("written: %q", got)
		}
	})
}

// Versions of an agent follow whoever came last with its key.
func TestAnAgentThatIsUpgradedIsNotAskedAnyMore(t *testing.T) {
	inBubble(t, func(t *testing.T, m *manager5) {
		m.setRow(1031, nil)
		b := attachTo5(t, m)
		defer b.stop()
		time.Sleep(5 * time.Second)
		b.reportClosedConn(1031) // its version is not known
		time.Sleep(5 * time.Second)
		if n := b.agents.countRequests(1031); n > 0 {
			t.Errorf("asked %d times before its version was known", n)
		}
		for range 30 {
			m.signOfLife(1031, "Wazuh v4.14.7", "active")
			time.Sleep(10 * time.Second)
		}
		before := b.agents.countRequests(1031)
		if before < 4 {
			t.Errorf("asked %d times", before)
		}
		m.signOfLife(1031, "v5.0.0", "active") // its start, pending, was not seen
		time.Sleep(3 * time.Second)
		b.agents.setState(1031, remoted.NotConnected)
		before = b.agents.countRequests(1031)
		b.reportClosedConn(1031)
		m.live(1031, time.Minute, 10*time.Minute)
		if n := b.agents.countRequests(1031); n != before {
			t.Errorf("asked %d times since", n-before)
		}
		b.checkNoLoss(t, 1031)
		b.agents.setState(1031, remoted.Answered)
		for range 12 {
			m.signOfLife(1031, "Wazuh v4.14.7", "active")
			time.Sleep(10 * time.Second)
		}
		if n := b.agents.countRequests(1031); n == before {
			t.Error("not asked, though it is of Wazuh 4 again")
		}
	})
}

// A loss is written once its row has been read again, and not while losses are held.
func TestALossOfAnAgentOfWazuh5IsWrittenWhenItIsSure(t *testing.T) {
	inBubble(t, func(t *testing.T, m *manager5) {
		for id := 1024; id <= 1026; id++ {
			m.setRow(id, nil)
		}
		b := attachTo5(t, m)
		defer b.stop()
		time.Sleep(5 * time.Second)
		for id := 1024; id <= 1026; id++ {
			m.signOfLife(id, "v5.0.0", "active")
		}
		time.Sleep(85 * time.Second) // all are lost
		if got := m.listWrites(); len(got) > 0 {
			t.Errorf("written at once: %q", got)
		}
		m.signOfLife(1025, "v5.0.0", "active") // it is there after all
		time.Sleep(15 * time.Second)
		if got := m.listWrites(); len(got) != 2 || strings.Contains(strings.Join(got, ""), "1025") {
			t.Errorf("written: %q", got)
		}
		if got, _ := b.link.cfg.Fleet.Agent(1025); got.Status != detector.Active {
			t.Errorf("%+v", got)
		}
		if got := b.link.Stats(); got.Alerts != 0 || got.Problem != "" || got.Written != 2 {
			t.Errorf("%+v", got)
		}
	})
}

// A cluster's node of Wazuh 5 has rows without a node: all are watched.
func TestEveryRowIsWatchedOnANodeOfWazuh5(t *testing.T) {
	m := startManager5(t)
	for id := 1024; id < 1724; id++ {
		m.setRow(id, map[string]any{"version": "v5.0.0", "name": fmt.Sprintf("agent%d%s", id, strings.Repeat("x", 120))})
	}
	db := wazuhdb.NewClient(wazuhsock.Home(m.home), wazuhdb.ClusterRole{Node: "node01", Worker: true}, patience)
	defer db.Close()
	rows, skipped, err := db.ReadAgents(t.Context())
	if err != nil || len(rows) != 700 || len(skipped) > 0 || rows[0].Passive != 1 {
		t.Errorf("%d rows, %v, %v", len(rows), skipped, err)
	}
	if others, err := db.ReadOtherNodes(t.Context()); err != nil || len(others) > 0 {
		t.Errorf("%v, %v", others, err)
	}
	if err := db.SetDisconnected(t.Context(), 1024); err != nil || !strings.Contains(m.listWrites()[0], `"sync_status":"syncreq_status"`) {
		t.Errorf("%v, %q", err, m.listWrites())
	}
}

func TestAnUnknownLayoutIsRefusedWithWhatWasFound(t *testing.T) {
	for _, c := range []struct{ change, want string }{
		{"ALTER TABLE agent ADD node_name TEXT", "has the column node_name"},
		{"ALTER TABLE agent DROP COLUMN last_keepalive", "has no column last_keepalive"},
		{"ALTER TABLE agent ADD tenant TEXT; PRAGMA user_version = 2", "user_version is 2, and the table agent has the unknown column tenant"},
		{"ALTER TABLE agent RENAME TO agents", "there is no table agent"},
		{"INSERT INTO metadata VALUES ('db_version', '8')", "has the db_version 8, and the table agent has no column node_name"},
		{"ALTER TABLE agent ADD tenant TEXT", ""},
		{"PRAGMA user_version = 2", ""},
		{"ALTER TABLE agent DROP COLUMN os_name", ""},
	} {
		m := startManager5(t)
		if _, err := m.db.Exec(c.change); err != nil {
			t.Fatal(err)
		}
		db := wazuhdb.NewClient(wazuhsock.Home(m.home), wazuhdb.ClusterRole{}, patience)
		_, _, err := db.ReadAgents(t.Context())
		db.Close()
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.change, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "known are those of Wazuh 4.3 to 4.14") || !strings.Contains(err.Error(), "Wazuh 5.0")):
			t.Errorf("%s: %v", c.change, err)
		}
	}
}

// Which sockets there are, and what a closed connection means, follows from the manager's files:
// with the tables of the other version each decision would be wrong.
func TestTablesOfAnotherVersionThanTheManagersFilesAreRefused(t *testing.T) {
	const settings5 = "<wazuh_config/>"
	for name, c := range map[string]struct {
		tables5       bool
		before, after string // etc/wazuh-manager.conf when Pulse starts, and when it reads
		want          string
	}{
		"those of Wazuh 5, and files of 4":       {true, "", "", "tables are those of Wazuh 5, and the manager's files"},
		"a 5 in the place of a 4":                {true, "", settings5, "start Pulse anew"},
		"a 5":                                    {true, settings5, settings5, ""},
		"those of Wazuh 4, and a file of 5 left": {false, settings5, settings5, "remove it, or set <pulse><home>"},
		"a 4 in the place of a 5":                {false, settings5, "", "start Pulse anew"},
		"a 4":                                    {false, "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := startManager5(t)
			if !c.tables5 {
				if _, err := m.db.Exec("INSERT INTO metadata VALUES ('db_version', '7'); ALTER TABLE agent ADD node_name TEXT"); err != nil {
					t.Fatal(err)
				}
			}
			set := func(text string) {
				if text != "" {
					m.writeFile(wazuhsock.Settings5, text)
				} else if err := os.RemoveAll(filepath.Join(m.home, wazuhsock.Settings5)); err != nil {
					t.Fatal(err)
				}
			}
			set(c.before)
			db := wazuhdb.NewClient(wazuhsock.Home(m.home), wazuhdb.ClusterRole{}, patience)
			defer db.Close()
			set(c.after)
			_, _, err := db.ReadAgents(t.Context())
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestAManagerOfWazuh5ThatHasNotRunYetIsInstalled(t *testing.T) {
	for name, want := range map[string]bool{wazuhsock.Settings5: true, wazuhsock.Settings: false, wazuhsock.DatabaseFile: true} {
		dir := t.TempDir()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if is, err := IsInstalled(dir); is != want || err != nil {
			t.Errorf("with %s: %v, %v", name, is, err)
		}
	}
}

func TestAMethodThatWazuh5HasNotIsRefused(t *testing.T) {
	m := startManager5(t)
	if _, err := Open(Config{Home: m.home, Method: detector.Ack, Log: newTestLog(new(logRecorder))}); err == nil || !strings.Contains(err.Error(), "to request") {
		t.Error(err)
	}
}

// The end of a connection is no news of an agent that has a new one for each request.
func TestAnEndedConnectionIsNothingOfAPassiveAgent(t *testing.T) {
	index, events := new(agentIndex), make(eventQueue, 10)
	index.replaceAll([]wazuhdb.Row{{ID: 1024, Name: "a", Addr: "10.0.0.1", Passive: 1}, {ID: 1031, Name: "b", Addr: "10.0.0.2"}, {ID: 1032, Name: "c", Addr: "10.0.0.1"}})
	w := &connWatcher{index: index, fleet: &fakeFleet{}, events: events}
	for addr, want := range map[string]string{"10.0.0.1": "[1032]", "10.0.0.2": "[1031]"} {
		w.handleClosedConn(t.Context(), netip.AddrPortFrom(netip.MustParseAddr(addr), 40000))
		if got := fmt.Sprint((<-events).(connClosed).agents); got != want {
			t.Errorf("from %s: %s, want %s", addr, got, want)
		}
	}
	index.setPassive(1032, true)
	w.handleClosedConn(t.Context(), netip.MustParseAddrPort("10.0.0.1:40000"))
	if len(events) > 0 {
		t.Error("an event for passive agents")
	}
}

func TestTheThrottleIsReadAsTheManagerDoes(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"":                                      time.Minute,
		"remoted.control_keepalive_throttle=10": 10 * time.Second,
		"remoted.control_keepalive_throttle=10\r\n":                                    10 * time.Second,
		"#remoted.control_keepalive_throttle=10":                                       time.Minute,
		"remoted.control_keepalive_throttle=20\nremoted.control_keepalive_throttle=20": 20 * time.Second,
		"remoted.control_keepalive_throttle=3600":                                      time.Hour,
	} {
		if got, err := parseThrottle(strings.NewReader(text)); got != want || err != nil {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for text, want := range map[string]time.Duration{ // it is in doubt which the manager takes
		" remoted.control_keepalive_throttle=10":                                        time.Minute,
		"remoted.control_keepalive_throttle = 10":                                       time.Minute,
		"\tremoted.control_keepalive_throttle=90\nremoted.control_keepalive_throttle=5": 90 * time.Second,
		"remoted.control_keepalive_throttle=10\nremoted.control_keepalive_throttle=20":  20 * time.Second,
		"remoted.control_keepalive_throttle=20\nremoted.control_keepalive_throttle=10":  20 * time.Second,
		"remoted.control_keepalive_throttle=x\nremoted.control_keepalive_throttle=10":   time.Minute,
	} {
		if got, err := parseThrottle(strings.NewReader(text)); got != want || err == nil {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, bad := range []string{"0", "3601", "-1", "x", "", "1e1"} {
		if got, err := parseThrottle(strings.NewReader("remoted.control_keepalive_throttle=" + bad)); got != time.Minute || err == nil {
			t.Errorf("%q: %v, %v", bad, got, err)
		}
	}
	dir := t.TempDir()
	f := throttleFile{path: filepath.Join(dir, "options")}
	if got, _ := f.readEffectiveThrottle(0, time.Now()); got != time.Minute {
		t.Errorf("without a file: %v", got)
	}
	if err := os.WriteFile(f.path, []byte("remoted.control_keepalive_throttle=10"), 0o600); err != nil {
		t.Fatal(err)
	}
	for started, want := range map[time.Time]time.Duration{time.Now().Add(time.Hour): 10 * time.Second, time.Now().Add(-time.Hour): time.Minute, {}: time.Minute} {
		if got, err := f.readEffectiveThrottle(0, started); got != want || err != nil {
			t.Errorf("remoted started %v: %v, %v", started, got, err)
		}
	}
}

func FuzzThrottle(f *testing.F) {
	f.Add("remoted.control_keepalive_throttle=10\n# x")
	f.Add("remoted.control_keepalive_throttle=99999999999999999999\x00=")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseThrottle(strings.NewReader(text))
		if got < minThrottle || got > maxThrottle || err != nil && len(err.Error()) > 400 {
			t.Errorf("%v, %v", got, err)
		}
	})
}

// What an earlier run of the node knew of agents of Wazuh 5 holds, until their rows or their
// silence show something else.
func TestAgentsOfWazuh5OutliveARestartOfPulse(t *testing.T) {
	inBubble(t, func(t *testing.T, m *manager5) {
		now := time.Now().Unix()
		row := func(id int, seen int64) {
			m.setRow(id, map[string]any{"version": "v5.0.0", "connection_status": "active", "last_keepalive": now - seen, "name": fmt.Sprintf("agent%d", id)})
		}
		row(1024, 30)  // lives
		row(1025, 600) // died while Pulse was away
		row(1026, 30)  // was lost, and is back
		row(1027, 900) // was lost, and is not
		member := func(id detector.AgentID, status detector.Status, reason detector.Reason) detector.Restored {
			r := detector.Restored{Member: detector.Member{ID: id, Name: fmt.Sprintf("agent%d", id), IP: "any"}, Status: status, Reason: reason, Greeted: true}
			r.Since, r.LastSeen = -detector.Instant(5*time.Minute), -detector.Instant(6*time.Minute)
			return r
		}
		b := attachTo5(t, m, member(1024, detector.Active, detector.Connected), member(1025, detector.Active, detector.Connected),
			member(1026, detector.Disconnected, detector.KeepAliveTimeout), member(1027, detector.Disconnected, detector.KeepAliveTimeout))
		defer b.stop()
		time.Sleep(4 * time.Second)
		if got := b.changesOf(1026, time.Time{}); len(got) != 1 || got[0].To != detector.Active {
			t.Errorf("%+v", got)
		}
		time.Sleep(30 * time.Second)
		go m.live(1026, time.Minute, 4*time.Minute)
		m.live(1024, time.Minute, 3*time.Minute)
		b.checkNoLoss(t, 1024, 1026, 1027)
		if got := b.lossOf(t, 1025); got.Reason != detector.KeepAliveTimeout {
			t.Errorf("%+v", got)
		}
		time.Sleep(90 * time.Second)
	})
}
