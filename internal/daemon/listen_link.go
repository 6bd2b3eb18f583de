package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/atomicfile"
	"github.com/wazuh-pulse/pulse/internal/audittrail"
	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/fleet"
	"github.com/wazuh-pulse/pulse/internal/inventory"
	"github.com/wazuh-pulse/pulse/internal/listen"
	"github.com/wazuh-pulse/pulse/internal/message"
	"github.com/wazuh-pulse/pulse/internal/silence"
	"github.com/wazuh-pulse/pulse/internal/silencer"
)

// listenLink is the link on which Pulse is the agents' manager, with client.keys
// for its inventory.
type listenLink struct {
	*listen.Link
	agents   inventory.Inventory
	read     *clientkeys.Set // the first reading of client.keys
	problems []clientkeys.Problem
	numbers  *numbersFile
}

func openListenLink(cfg *config.Config, set *detector.Settings, clock *detector.Clock, to *detector.Detector, part *clusterPart, onDuplicated func(detector.AgentID, netip.Addr, netip.Addr), audit *audittrail.Trail, log *slog.Logger) (link, error) {
	keys, problems, err := clientkeys.ReadFile(cfg.Pulse.ClientKeys)
	if err != nil {
		return nil, fmt.Errorf("read the agents' keys (<pulse><client_keys>): %w", err)
	}
	numbers := &numbersFile{path: filepath.Join(cfg.Pulse.StateDir, "numbers"), keep: cfg.Pulse.VerifyCounters, log: log}
	saved := numbers.readSaved()
	l, err := listen.Listen(listen.Config{
		Addr: netip.AddrPortFrom(cfg.Remote.LocalIP, uint16(cfg.Remote.Port)), TCP: cfg.Remote.TCP, UDP: cfg.Remote.UDP,
		Method: set.Method, Keys: keys, Clock: clock, Report: part.shareFleet(to).Report, SetInfo: to.SetInfo, Refused: audit.RecordRefusal, Duplicated: onDuplicated, Log: log,
		Verify: cfg.Pulse.VerifyCounters, Numbers: saved, Unsure: saved == nil && knowsAgents(to),
	})
	if err != nil {
		return nil, fmt.Errorf("%w (<remote><port>)", err)
	}
	logUnusedWazuhGroups(cfg, log)
	return &listenLink{Link: l, read: keys, problems: problems, numbers: numbers,
		agents: inventory.Inventory{Path: cfg.Pulse.ClientKeys, Detector: to, Link: l, Audit: audit, Log: log}}, nil
}

// knowsAgents reports whether the node knows agents from an earlier run.
func knowsAgents(d *detector.Detector) bool {
	counts := d.Counts().ByStatus
	return counts[detector.Active]+counts[detector.Pending]+counts[detector.Disconnected] > 0
}

func (l *listenLink) OnDecision(*message.Record) {}

func (l *listenLink) OnCondition(*event.NodeCondition) {}

func (l *listenLink) OnClusterAlert(*message.ClusterAlert) {}

func (l *listenLink) OnSilence(silencer.Change, *silence.Silence, string) {}

// Identify returns what client.keys has of an agent.
func (l *listenLink) Identify(id detector.AgentID) fleet.Identity {
	if key, ok := l.agents.Keys().ByNumber(uint32(id)); ok {
		return fleet.Identity{Name: key.Name, IP: key.IP.String()}
	}
	return fleet.Identity{}
}

// Run serves the agents and follows their keys.
func (l *listenLink) Run(ctx context.Context) {
	l.agents.Start(l.read, l.problems)
	var work sync.WaitGroup
	work.Go(func() { l.Link.Run(ctx) })
	work.Go(func() { l.numbers.saveEvery(ctx, l.Link) })
	work.Go(func() { l.agents.Run(ctx, l.read) })
	work.Wait()
	l.numbers.saveNumbers(l.Link, true)
}

func (l *listenLink) Status() Link {
	stats := l.Stats()
	return Link{Kind: event.LinkListen, Stats: &stats, Inventory: l.agents.Status()}
}

const (
	// numbersPeriod is how often the numbers of agents' messages are saved for good.
	numbersPeriod = time.Minute
	// recentPeriod is how often they are handed to the system, which keeps them when
	// this process is killed. Of those since then agents are asked.
	recentPeriod = 2 * time.Second
)

// numbersFile keeps the numbers of agents' messages over restarts of the node.
type numbersFile struct {
	path string
	keep bool // save them
	log  *slog.Logger

	recent *os.File // written in place and never synced; nil before saveEvery
	last   []byte   // its content
}

func (f *numbersFile) recentPath() string { return f.path + ".recent" }

// readSaved returns the numbers of the last run, none if there was none, and marks in
// the file that another run uses it. What cannot be read is returned as it is; the link
// detects that it is damaged.
func (f *numbersFile) readSaved() [][]byte {
	data, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = f.markInUse()
	}
	if err != nil {
		f.log.Warn("the numbers of agents' messages are not used", "file", f.path, "err", err)
		return [][]byte{{}}
	}
	all := [][]byte{bytes.TrimSuffix(data, []byte("\n"))}
	if recent, err := os.ReadFile(f.recentPath()); err == nil && len(recent) > 0 && !isFinal(all[0]) {
		all = append(all, recent) // torn only if the process was killed within a write: then agents are asked
	}
	return all
}

func isFinal(saved []byte) bool {
	return len(saved) > listen.NumbersFinal && saved[listen.NumbersFinal] != 0
}

// markInUse writes in place, which a full disk allows.
func (f *numbersFile) markInUse() error {
	file, err := os.OpenFile(f.path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteAt([]byte{0}, int64(listen.NumbersFinal))
	return errors.Join(err, file.Sync(), file.Close())
}

// saveEvery saves the numbers now and in each period until ctx ends.
func (f *numbersFile) saveEvery(ctx context.Context, l *listen.Link) {
	if !f.keep {
		return
	}
	whole, part := time.NewTicker(numbersPeriod), time.NewTicker(recentPeriod)
	defer whole.Stop()
	defer part.Stop()
	f.saveNumbers(l, false)
	var err error
	if f.recent, err = os.OpenFile(f.recentPath(), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600); err != nil {
		f.logError(err)
	} else {
		defer f.recent.Close()
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-whole.C:
			f.saveNumbers(l, false)
		case <-part.C:
			f.saveRecent(l)
		}
	}
}

// saveNumbers saves the numbers. They are final once the link has ended.
func (f *numbersFile) saveNumbers(l *listen.Link, final bool) {
	if !f.keep {
		return
	}
	if err := atomicfile.Write(f.path, append(l.Numbers(final), '\n'), 0o600); err != nil {
		f.logError(err)
	}
}

// saveRecent hands the numbers to the system. What fails is made up for by saveNumbers.
func (f *numbersFile) saveRecent(l *listen.Link) {
	if f.recent == nil {
		return
	}
	now := l.Numbers(false)
	if bytes.Equal(now, f.last) {
		return
	}
	if _, err := f.recent.WriteAt(now, 0); err == nil && len(now) < len(f.last) {
		_ = f.recent.Truncate(int64(len(now)))
	}
	f.last = now
}

func (f *numbersFile) logError(err error) {
	f.log.Warn("the numbers of agents' messages are not saved: after a restart, agents are asked", "file", f.path, "err", err)
}
