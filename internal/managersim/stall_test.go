package managersim

import (
	"strings"
	"sync/atomic"
	"testing"
)

// While wazuh-db stands still, its clients wait and the table stays as it was; then it does
// all that waited, in order, and stamps it with the time of that moment.
func TestADatabaseThatStandsStillStampsWhatWaitedWhenItGoesOn(t *testing.T) {
	var now atomic.Int64
	now.Store(1000)
	m := start(t, Config{Keys: keysOf(2), Now: now.Load})
	m.StallDB()
	for id := range 2 {
		m.remoted.updateStore("update-keepalive", map[string]any{"id": id + 1, "connection_status": "active", "sync_status": "synced"})
	}
	m.remoted.updateStore("update-connection-status", map[string]any{"id": 2, "connection_status": "disconnected", "sync_status": "synced", "status_code": 3})
	answered := make(chan string, 1)
	conn := dial(t, m, "queue/db/wdb")
	go func() { answered <- ask(t, conn, "global sql SELECT last_keepalive AS k FROM agent WHERE id = 1") }()
	if row := status(t, m, 1); row.KeepAlive != 0 || m.HeldByStall() != 3 {
		t.Errorf("%+v, %d wait", row, m.HeldByStall())
	}
	now.Store(1040)
	m.ResumeDB()
	if got := <-answered; !strings.Contains(got, "1040") {
		t.Errorf("a client is answered %q", got)
	}
	if row := status(t, m, 2); row.KeepAlive != 1040 || row.Status != "disconnected" || row.Code != 3 || m.HeldByStall() != 0 {
		t.Errorf("%+v", row)
	}
	m.ResumeDB()
}
