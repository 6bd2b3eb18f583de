package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/audittrail"
	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/listen"
)

// listening is the link on which Pulse is the agents' manager, with client.keys
// for its inventory.
type listening struct {
	*listen.Link
	keys     inventory
	read     *clientkeys.Set // the first reading of client.keys
	problems []clientkeys.Problem
	numbers  *numbersFile
}

func openListening(cfg *config.Config, method detector.Method, clock *detector.Clock, to *detector.Detector, audit *audittrail.Trail, log *slog.Logger) (link, error) {
	keys, problems, err := clientkeys.ReadFile(cfg.Pulse.ClientKeys)
	if err != nil {
		return nil, fmt.Errorf("read the agents' keys (<pulse><client_keys>): %w", err)
	}
	numbers := &numbersFile{path: filepath.Join(cfg.Pulse.StateDir, "numbers"), keep: cfg.Pulse.VerifyCounters, log: log}
	saved := numbers.load()
	l, err := listen.Listen(listen.Config{
		Addr: netip.AddrPortFrom(cfg.Remote.LocalIP, uint16(cfg.Remote.Port)), TCP: cfg.Remote.TCP, UDP: cfg.Remote.UDP,
		Method: method, Keys: keys, Clock: clock, Report: to.Report, Refused: audit.RecordRefusal, Log: log,
		Verify: cfg.Pulse.VerifyCounters, Numbers: saved, Unsure: saved == nil && anySeen(to),
	})
	if err != nil {
		return nil, fmt.Errorf("%w (<remote><port>)", err)
	}
	return &listening{Link: l, read: keys, problems: problems, numbers: numbers,
		keys: inventory{path: cfg.Pulse.ClientKeys, detector: to, link: l, audit: audit, log: log}}, nil
}

// anySeen reports whether the node knows agents from an earlier life.
func anySeen(d *detector.Detector) bool {
	counts := d.Counts()
	return counts[detector.Active]+counts[detector.Pending]+counts[detector.Disconnected] > 0
}

func (l *listening) OnDecision(*detector.Decision) {}

// Run serves the agents and follows their keys.
func (l *listening) Run(ctx context.Context) {
	var work sync.WaitGroup
	work.Go(func() { l.Link.Run(ctx) })
	work.Go(func() { l.numbers.saveEvery(ctx, l.Link) })
	work.Go(func() { l.keys.run(ctx, l.read, l.problems) })
	work.Wait()
	l.numbers.save(l.Link, true)
}

func (l *listening) Status() Link {
	stats := l.Stats()
	return Link{Kind: event.LinkListen, Stats: &stats, Inventory: l.keys.status()}
}
