package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/daemon"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/outbox"
)

const (
	// fleetSize is the number of agents that the decisions are about.
	fleetSize = 10_000
	// maxUnstored is how many decisions may wait to be stored. It is less than
	// the number at which the daemon drops keep-alive events.
	maxUnstored = 20_000
	// pollInterval is the time between two readings of the progress.
	pollInterval = time.Millisecond
	// stallTimeout is how long there may be no progress.
	stallTimeout = time.Minute
)

// pipeline is what a node has behind its detector, in a state directory of its
// own: from a decision to a message on the local disk, and with a server's URL
// on that server.
type pipeline struct {
	*daemon.Publisher
	storedBefore int // stored by an earlier run of the node and not confirmed
	decided      int // so far
	running      sync.WaitGroup
	failed       chan error // the error that ended Run; one at most
}

func openPipeline(ctx context.Context, dir, url string, sign bool) (*pipeline, error) {
	cfg := config.Default()
	cfg.NATS.ServerURL, cfg.NATS.Listen, cfg.NATS.SubjectPrefix = url, "", pulsePrefix
	cfg.NATS.MessageSigning = sign
	cfg.Pulse.StateDir, cfg.Pulse.TelemetryLimit = dir, 0
	cfg.Pulse.NodeName = filepath.Base(dir) // the epoch is counted per node name
	w := &pipeline{failed: make(chan error, 1)}
	var err error
	// The log is formatted as the daemon's is, and discarded.
	w.Publisher, err = daemon.OpenPublisher(ctx, &cfg, "bench", slog.New(slog.NewJSONHandler(io.Discard, nil)))
	if err != nil {
		return nil, err
	}
	w.running.Go(func() {
		if err := w.Run(context.Background()); err != nil {
			w.failed <- err
			w.Finish()
		}
	})
	return w, nil
}

// close stops the pipeline when all decisions are stored.
func (w *pipeline) close() error {
	w.Finish()
	w.running.Wait()
	err := w.Close()
	select {
	case e := <-w.failed:
		err = errors.Join(e, err)
	default:
	}
	return err
}

// waitUntil waits until done returns true, as long as there is progress.
func (w *pipeline) waitUntil(ctx context.Context, done func() bool) error {
	look := time.NewTicker(pollInterval)
	defer look.Stop()
	last, since := w.readProgress(), time.Now()
	for !done() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-w.failed:
			return err
		case <-look.C:
		}
		if now := w.readProgress(); now != last {
			last, since = now, time.Now()
		} else if time.Since(since) > stallTimeout {
			return fmt.Errorf("nothing was stored or confirmed for %v, after %d stored and %d confirmed: is the server there, and does it take these messages?",
				stallTimeout, now.totalStored(), now.totalConfirmed())
		}
	}
	return nil
}

// progress counts the messages stored locally and confirmed by the server, by
// class.
type progress struct{ local, remote [2]uint64 }

func (p progress) totalStored() int    { return int(p.local[0] + p.local[1]) }
func (p progress) totalConfirmed() int { return int(p.remote[0] + p.remote[1]) }

func (w *pipeline) readProgress() (p progress) {
	for _, c := range []outbox.Class{outbox.Status, outbox.Telemetry} {
		p.local[c], p.remote[c] = w.Passed(c)
	}
	return p
}

// waitForAll waits until all decisions are stored, and with far set confirmed.
// The node's own heartbeats come on top.
func (w *pipeline) waitForAll(ctx context.Context, far bool) error {
	return w.waitUntil(ctx, func() bool {
		p := w.readProgress()
		return p.totalStored() >= w.decided && (!far || p.totalConfirmed() >= w.storedBefore+p.totalStored())
	})
}

// decideMany makes n decisions as fast as they can be stored, one in statusIn
// of them a status change.
func (w *pipeline) decideMany(ctx context.Context, n, statusIn int, tell func(done int)) error {
	const group = 1000
	for fed := 0; fed < n; fed += group {
		if err := w.waitUntil(ctx, func() bool { return w.readProgress().totalStored() >= w.decided-maxUnstored }); err != nil {
			return err
		}
		tell(fed)
		for i := range min(group, n-fed) {
			if i%statusIn == statusIn-1 {
				w.decideLoss()
			} else {
				w.decideKeepAlive()
			}
		}
	}
	return nil
}

// decideKeepAlive decides that a keep-alive is sent, or answered.
func (w *pipeline) decideKeepAlive() {
	d := w.nextDecision()
	if d.Verdict = detector.Send; w.decided%2 == 0 {
		d.Verdict, d.RTT = detector.Acknowledged, 1234*time.Microsecond
	}
	w.Decide([]detector.Decision{d})
}

// decideLoss decides that an agent is lost.
func (w *pipeline) decideLoss() {
	d := w.nextDecision()
	d.Verdict, d.From, d.To, d.Reason = detector.Changed, detector.Active, detector.Disconnected, detector.ConnectionLost
	d.Seen, d.LastSeenTime = true, d.Time
	w.Decide([]detector.Decision{d})
}

// nextDecision returns a decision about the next agent, as a detector makes
// it.
func (w *pipeline) nextDecision() detector.Decision {
	w.decided++
	id := detector.AgentID(w.decided%fleetSize + 1)
	return detector.Decision{Time: time.Now(), ID: id, Name: fleetNames[id-1], IP: fleetAddrs[id-1], Interval: time.Minute}
}

var fleetNames, fleetAddrs = func() (names, addrs []string) {
	for _, m := range makeMembers(fleetSize) {
		names, addrs = append(names, m.Name), append(addrs, agentAddress(m.ID).String())
	}
	return names, addrs
}()
