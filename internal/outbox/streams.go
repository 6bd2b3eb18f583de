package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Within these the server drops a message whose ID it has stored already. It
// remembers each ID for that long, in memory: 2 min of TELEMETRY from a million
// agents would be 4 million of them, so there only a retry's span is kept.
const (
	statusDuplicates    = 2 * time.Minute
	telemetryDuplicates = 15 * time.Second
)

func streamConfig(cfg Config, c Class) jetstream.StreamConfig {
	if c == Status {
		return jetstream.StreamConfig{
			Name:        c.String(),
			Subjects:    []string{cfg.Prefix + ".agent.*.status_change", cfg.Prefix + ".alerts.>"},
			Storage:     jetstream.FileStorage,
			Duplicates:  statusDuplicates,
			AllowDirect: true,
		}
	}
	limit := cfg.TelemetryLimit
	if limit <= 0 {
		limit = -1
	}
	return jetstream.StreamConfig{
		Name:        c.String(),
		Subjects:    []string{cfg.Prefix + ".manager.>"},
		Storage:     jetstream.FileStorage,
		MaxBytes:    limit,
		Discard:     jetstream.DiscardOld,
		Duplicates:  telemetryDuplicates,
		AllowDirect: true,
	}
}

// openStreams makes the streams, or brings existing ones up to the settings: a
// new prefix or limit. Stored messages stay, under the subjects they have.
func (o *Outbox) openStreams(ctx context.Context) error {
	for c := range Class(classes) {
		stream, err := o.js.CreateOrUpdateStream(ctx, streamConfig(o.cfg, c))
		if err != nil {
			return fmt.Errorf("open stream %s in %s: %w", c, o.cfg.Dir, err)
		}
		o.streams[c] = stream
		o.last[c] = stream.CachedInfo().State.LastSeq
	}
	o.status = newSyncer(o.cfg.Dir, Status.String())
	return o.status.syncStream(o.cfg.Dir)
}
