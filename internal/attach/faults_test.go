package attach

import (
	"encoding/binary"
	"net"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/managersim"
)

// patientSettings are the settings of a detector that waits for answers as long as one
// with the defaults, in proportion to how soon trouble with the manager is seen.
func patientSettings() detector.Settings {
	set := quickSettings
	set.RetryInterval = 5 * time.Second
	return set
}

// isLost reports whether an agent is.
func isLost(d detector.Decision) bool { return d.To == detector.Disconnected }

// A socket that is slow makes everything slow, and nothing wrong: a death is found
// and written once. remoted is asked less meanwhile, and as much as before when it is well.
func TestASlowSocketIsWaitedFor(t *testing.T) {
	for _, socket := range []managersim.Socket{managersim.RequestSocket, managersim.DatabaseSocket} {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			const most = 8
			s := startManager(t, 3)
			s.connectAgents()
			s.startLink(patientSettings(), func(c *Config) { c.MaxInFlight = most })
			s.waitForCount(detector.Active, 3)
			s.waitForLog("attached")
			s.manager.Misbehave(socket, managersim.Fault{Delay: checkTimeout/4 + 200*time.Millisecond})
			if socket == managersim.RequestSocket {
				s.waitUntil("asked less", func() bool { return s.link.Stats().Window == minWindow })
			}
			if err := s.agents.Fail("002", agentsim.Kill); err != nil {
				t.Fatal(err)
			}
			s.waitForChange(2, detector.Disconnected)
			s.waitUntil("written", func() bool { return len(s.manager.Writes()) == 1 && len(s.manager.Events()) == 1 })
			s.manager.Misbehave(socket, managersim.Fault{})
			s.waitUntil("asked as before", func() bool { return s.link.Stats().Window == most })
			others := slices.DeleteFunc(s.listChanges(), func(d detector.Decision) bool { return d.ID == 2 })
			if slices.ContainsFunc(others, isLost) || len(s.manager.Writes()) != 1 || len(s.manager.Events()) != 1 {
				t.Errorf("%+v, written %q, raised %q", others, s.manager.Writes(), s.manager.Events())
			}
		})
	}
}

// Others have filled remoted's pool with requests to a hung agent: nothing is asked
// until it answers for itself, and nobody is lost for that.
func TestAPoolThatOthersHaveFilledKillsNobody(t *testing.T) {
	t.Parallel()
	const pool, waves = 4, 3
	s := startManager(t, 4, func(c *managersim.Config) { c.RequestPool, c.ResponseTimeout = pool, checkTimeout })
	s.connectAgents()
	set := patientSettings()
	set.Timeout = 5 * time.Minute
	s.startLink(set)
	s.waitForCount(detector.Active, 4)
	s.waitForLog("attached to wazuh-remoted request_pool=4 max_in_flight=1")
	if err := s.agents.Fail("004", agentsim.Hang); err != nil {
		t.Fatal(err)
	}
	frame := append(binary.LittleEndian.AppendUint32(nil, 18), "004 agent getstate"...)
	for range pool * waves {
		conn, err := net.Dial("unix", filepath.Join(s.manager.Home(), "queue/sockets/remote"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write(frame); err != nil {
			t.Fatal(err)
		}
	}
	s.waitForLog("wazuh-remoted does not answer")
	s.waitForLog("wazuh-remoted is there again")
	changes := s.listChanges()
	s.dropDecisions()
	s.waitForDecision("answer", func(d *detector.Decision) bool { return d.Verdict == detector.Acknowledged })
	others := slices.DeleteFunc(append(changes, s.listChanges()...), func(d detector.Decision) bool { return d.ID == 4 })
	if slices.ContainsFunc(others, isLost) || s.link.Stats().MostInFlight > 1 {
		t.Errorf("%+v, %+v", others, s.link.Stats())
	}
}

// How much may be out is a quarter of the pool that remoted has at the moment, and
// what the setting says if that is less.
func TestTheBoundFollowsRemotedsPool(t *testing.T) {
	for _, c := range []struct{ pool, setting, want int }{{1024, 128, 128}, {256, 128, 64}, {1024, 1024, 256}, {16, 128, 4}, {3, 128, 1}} {
		s := startManager(t, 1, func(m *managersim.Config) { m.RequestPool = c.pool })
		s.startLink(stillSettings, func(cfg *Config) { cfg.MaxInFlight = c.setting })
		s.waitForLog("max_in_flight=" + formatNumber(int64(c.want)) + " ")
		if got := s.link.Stats().Window; got != c.want {
			t.Errorf("of %d, with %d: %d, want %d", c.pool, c.setting, got, c.want)
		}
		s.stopped()
	}
}
