package attach

import (
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// stillSettings are the settings of a detector that decides nothing by itself.
var stillSettings = detector.Settings{Group: detector.Group{Interval: 24 * time.Hour, Timeout: 48 * time.Hour, MaxMissed: 3},
	Method: detector.Notify, RetryInterval: time.Hour, ReconnectGrace: time.Second}

// Whatever an answer can hold, agents with the longest names there are
// come page by page, and so do their changes when nobody has looked for a long time: then
// each has a time of its own.
func TestAgentsWithLongNamesAreReadPageByPage(t *testing.T) {
	const agents = 1500
	s := startManager(t, agents)
	now := time.Now().Unix()
	if err := s.manager.Exec("UPDATE agent SET name = name || ?, connection_status = 'active', node_name = 'node01', last_keepalive = ? WHERE id > 0",
		strings.Repeat("x", 120), now); err != nil {
		t.Fatal(err)
	}
	s.startLink(stillSettings)
	s.waitForCount(detector.Active, agents)
	s.manager.StopDB()
	s.waitForLog("wazuh-db cannot be used")
	if err := s.manager.Exec("UPDATE agent SET last_keepalive = ? + id WHERE id > 0", now); err != nil {
		t.Fatal(err)
	}
	if err := s.manager.Exec("UPDATE agent SET connection_status = 'disconnected', status_code = 3, disconnection_time = ? WHERE id > 1200", now+60); err != nil {
		t.Fatal(err)
	}
	if err := s.manager.StartDB(); err != nil {
		t.Fatal(err)
	}
	s.waitForCount(detector.Disconnected, agents-1200)
	s.waitForLog("wazuh-db is there again") // at the end of that reading
	if got := s.link.Stats(); got.Problem != "" || len(s.manager.Writes()) > 0 {
		t.Errorf("%+v, written %q", got, s.manager.Writes())
	}
}
