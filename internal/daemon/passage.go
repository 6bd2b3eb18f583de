package daemon

import (
	"log/slog"
	"time"

	"github.com/wazuh-pulse/pulse/internal/outbox"
)

// passage is how many messages got how far since the node started.
type passage struct {
	outbox.Stats
	unstored uint64 // keep-alive events that publishing did not keep up with
}

func (p *Publisher) passage() passage { return passage{p.outbox.Stats(), p.recorder.dropped.Load()} }

// passed writes what went through since the last time, if anything did. Heartbeats
// are messages too.
func (a *auditor) passed(p passage, now time.Time) {
	last := &a.last
	status := sums(p.Status, last.Status)
	telemetry := append(sums(p.Telemetry, last.Telemetry), slog.Uint64("dropped", p.Telemetry.Dropped-last.Telemetry.Dropped),
		slog.Uint64("dropped_before_storing", p.unstored-last.unstored))
	a.log.Add(auditPublishing, slog.String("until", now.UTC().Format(time.RFC3339)),
		slog.GroupAttrs("status", status...), slog.GroupAttrs("telemetry", telemetry...),
		slog.Uint64("waiting", p.Status.Backlog+p.Telemetry.Backlog),
		slog.Uint64("forward_errors", p.ForwardErrors-last.ForwardErrors), slog.Uint64("logins_refused", p.LoginsRefused-last.LoginsRefused))
	if n := p.Status.Lost; n > last.Status.Lost {
		a.log.Add(auditLost, slog.Uint64("messages", n))
	}
	if was, is := last.DeadLetters(), p.DeadLetters(); was != is {
		a.log.Add(auditDeadLetters, slog.Uint64("were", was), slog.Uint64("are", is), slog.String("first", bounded(p.DeadReason())))
	}
}

func sums(now, last outbox.StreamStats) []slog.Attr {
	return []slog.Attr{slog.Uint64("published", now.Published-last.Published), slog.Uint64("forwarded", now.Forwarded-last.Forwarded)}
}
