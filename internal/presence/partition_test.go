package presence

import (
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/testsupport"
)

// Consumers refuse the lower epoch by then: so the one that was away waits.
func TestANodeThatWasAwayWaitsForTheOneThatTookOver(t *testing.T) {
	t.Parallel()
	srv := startServer(t)
	way := testsupport.OpenPath(t, srv.Addr().String())
	quick := func(t *timing) {
		t.alone, t.settle, t.gone = 100*time.Millisecond, 300*time.Millisecond, 2*time.Second
	}
	older := joinNodeAt(t, "nats://"+way.Addr, 100, quick)
	older.waitForAdmission()
	younger := joinNode(t, srv, 101, quick)
	younger.waitForState("held", held)
	way.Close()
	session := younger.waitForAdmission()
	younger.waitForState("alone", alone)
	way.Open()
	older.waitForState("held", held)
	younger.waitForState("first", first)
	if older.isPublishing() || session.Reason() != nil {
		t.Errorf("the one that was away publishes; the other: %v", session.Reason())
	}
	younger.stopNode()
	older.waitForAdmission()
}
