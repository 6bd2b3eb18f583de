package audittrail

import (
	"log/slog"
	"time"

	"github.com/wazuh-pulse/pulse/internal/outbox"
)

// Throughput is how many messages were published and forwarded since the node started.
type Throughput struct {
	outbox.Stats
	Unstored uint64 // keep-alive events that publishing did not keep up with
}

// recordThroughput records the messages since the last call. There always are some:
// heartbeats are messages too.
func (t *Trail) recordThroughput(now *Throughput, until time.Time) {
	last := &t.last
	status := countsSince(now.Status, last.Status)
	telemetry := append(countsSince(now.Telemetry, last.Telemetry), slog.Uint64("dropped", now.Telemetry.Dropped-last.Telemetry.Dropped),
		slog.Uint64("dropped_before_storing", now.Unstored-last.Unstored))
	t.log.Add(kindPublishing, slog.String("until", until.UTC().Format(time.RFC3339)),
		slog.GroupAttrs("status", status...), slog.GroupAttrs("telemetry", telemetry...),
		slog.Uint64("waiting", now.Status.Backlog+now.Telemetry.Backlog),
		slog.Uint64("forward_errors", now.ForwardErrors-last.ForwardErrors), slog.Uint64("logins_refused", now.LoginsRefused-last.LoginsRefused))
	if n := now.Status.Lost; n > last.Status.Lost {
		t.log.Add(kindLost, slog.Uint64("messages", n))
	}
	if was, is := last.DeadLetters(), now.DeadLetters(); was != is {
		t.log.Add(kindDeadLetters, slog.Uint64("were", was), slog.Uint64("are", is), slog.String("first", boundText(now.DeadReason())))
	}
}

func countsSince(now, last outbox.StreamStats) []slog.Attr {
	return []slog.Attr{slog.Uint64("published", now.Published-last.Published), slog.Uint64("forwarded", now.Forwarded-last.Forwarded)}
}
