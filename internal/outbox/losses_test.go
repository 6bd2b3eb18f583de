package outbox

import (
	"slices"
	"strings"
	"testing"

	"github.com/wazuh-pulse/pulse/internal/testsupport"
)

// An outage may last for days: what it costs is known while it does.
func TestTelemetryThatItsLimitDropsIsCountedWhileTheFarSideIsAway(t *testing.T) {
	far := newFarSide(t, withJetStream)
	far.stop()
	book, log := newTestLog()
	o := mustOpen(t, Config{TelemetryLimit: 1 << 20, Remote: far.remote(logTo(log)), Log: log})
	msgs := messages(Telemetry, 1, 2000)
	for i := range msgs {
		msgs[i].Data = make([]byte, 10_000)
	}
	for part := range slices.Chunk(msgs, 100) {
		mustPublish(t, o, part)
	}
	await := func(what string, is func(s StreamStats) bool) StreamStats {
		t.Helper()
		for ctx := testContext(t); ; {
			s := o.Stats().Telemetry
			if is(s) {
				return s
			}
			if ctx.Err() != nil {
				t.Fatalf("%s: %+v", what, s)
			}
		}
	}
	await("while it is away", func(s StreamStats) bool { return s.Dropped > 1000 })
	book.WaitForLine(t, "messages were dropped before they could be forwarded")

	far.start()
	_, js := testsupport.ConnectNATS(t, far.srv.ClientURL())
	storeAllSubjects(t, js, -1)
	await("after it is back", func(s StreamStats) bool {
		return s.Backlog == 0 && s.Forwarded+s.Dropped == 2000 && s.CaughtUp == s.Forwarded
	})
}

// STATUS has no limit: a gap in it was damage, and is told as that.
func TestOnlyTelemetryIsDroppedByALimit(t *testing.T) {
	for c, want := range map[Class]uint64{Telemetry: 1 + 3, Status: 0} {
		book, log := newTestLog()
		f := &forwarder{class: c, log: log}
		f.countMissing([]Stored{{Seq: 2}, {Seq: 3}, {Seq: 7}})
		if got := f.dropped.Load(); got != want || strings.Contains(book.String(), "telemetry_limit") != (want > 0) {
			t.Errorf("%s: %d dropped\n%s", c, got, book)
		}
	}
}
