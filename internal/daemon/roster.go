package daemon

import (
	"context"
	"log/slog"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/roster"
)

// openRoster keeps the agents' present states where the messages go.
func openRoster(ctx context.Context, cfg *config.Config, p *Publisher, log *slog.Logger) (*roster.Roster, error) {
	if p.outbox == nil || cfg.NATS.NoRoster {
		return nil, nil
	}
	return roster.Open(ctx, roster.Config{Outbox: p.outbox, Remote: p.remote, Prefix: event.Prefix(cfg.NATS.SubjectPrefix),
		Dir: cfg.Pulse.StateDir, Open: p.sealer.OpenStored, Seal: p.sealer.ValueSeal(), KeyID: p.sealer.KeyFingerprint(),
		Node: p.recorder.writer.Source.Node, Latest: p.latest, Log: log})
}

// latest returns which message was made last.
func (p *Publisher) latest() (epoch, sequence uint64) {
	return p.recorder.writer.Source.Epoch, p.recorder.numbers.Load()
}
