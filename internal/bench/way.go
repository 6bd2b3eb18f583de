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
	// fleetSize is how many agents the decisions are about.
	fleetSize = 10_000
	// ahead is how many decisions may wait to be stored: less than the daemon
	// drops keep-alive events at.
	ahead = 20_000
	// glance is the time between two looks at how far it is.
	glance = time.Millisecond
	// stall is for how long nothing may happen.
	stall = time.Minute
)

// way is the way out of a node, in a state directory: from a decision to a
// message on the local disk, and with a server's URL on that.
type way struct {
	*daemon.Publisher
	clock   *detector.Clock
	before  int // stored by an earlier life of the node and not confirmed
	decided int // so far
	running sync.WaitGroup
	failed  chan error // what ended it; one at most
}

func openWay(ctx context.Context, dir, url string, sign bool) (*way, error) {
	cfg := config.Default()
	cfg.NATS.ServerURL, cfg.NATS.Listen, cfg.NATS.SubjectPrefix = url, "", pulsePrefix
	cfg.NATS.MessageSigning = sign
	cfg.Pulse.StateDir, cfg.Pulse.TelemetryLimit = dir, 0
	cfg.Pulse.NodeName = filepath.Base(dir) // a node is one that counts its starts
	w := &way{clock: detector.NewClock(), failed: make(chan error, 1)}
	var err error
	// The log is written as the daemon's is, but nobody reads it.
	w.Publisher, err = daemon.OpenPublisher(ctx, &cfg, "bench", w.clock, slog.New(slog.NewJSONHandler(io.Discard, nil)))
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

// close ends it when all that was decided is stored.
func (w *way) close() error {
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

// wait waits until done, as long as how far it is changes.
func (w *way) wait(ctx context.Context, done func() bool) error {
	look := time.NewTicker(glance)
	defer look.Stop()
	last, since := w.passed(), time.Now()
	for !done() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-w.failed:
			return err
		case <-look.C:
		}
		if now := w.passed(); now != last {
			last, since = now, time.Now()
		} else if time.Since(since) > stall {
			return fmt.Errorf("nothing was stored or confirmed for %v, after %d stored and %d confirmed: is the server there, and does it take these messages?",
				stall, now.stored(), now.confirmed())
		}
	}
	return nil
}

// passage is how many messages got how far, by class.
type passage struct{ local, far [2]uint64 }

func (p passage) stored() int    { return int(p.local[0] + p.local[1]) }
func (p passage) confirmed() int { return int(p.far[0] + p.far[1]) }

func (w *way) passed() (p passage) {
	for _, c := range []outbox.Class{outbox.Status, outbox.Telemetry} {
		p.local[c], p.far[c] = w.Passed(c)
	}
	return p
}

// settle waits until all that was decided is stored, and with far set confirmed.
// The node's own heartbeats come on top.
func (w *way) settle(ctx context.Context, far bool) error {
	return w.wait(ctx, func() bool {
		p := w.passed()
		return p.stored() >= w.decided && (!far || p.confirmed() >= w.before+p.stored())
	})
}

// feed decides n times as fast as can be stored, one in statusIn of them a status
// change.
func (w *way) feed(ctx context.Context, n, statusIn int, tell func(done int)) error {
	const group = 1000
	for fed := 0; fed < n; fed += group {
		if err := w.wait(ctx, func() bool { return w.passed().stored() >= w.decided-ahead }); err != nil {
			return err
		}
		tell(fed)
		for i := range min(group, n-fed) {
			if i%statusIn == statusIn-1 {
				w.change()
			} else {
				w.keepAlive()
			}
		}
	}
	return nil
}

// keepAlive decides that a keep-alive goes out, or that it is answered.
func (w *way) keepAlive() {
	d := w.decision()
	if d.Verdict = detector.Send; w.decided%2 == 0 {
		d.Verdict, d.RTT = detector.Acknowledged, 1234*time.Microsecond
	}
	w.Decide([]detector.Decision{d})
}

// change decides that an agent is lost.
func (w *way) change() {
	d := w.decision()
	d.Verdict, d.From, d.To, d.Reason = detector.Changed, detector.Active, detector.Disconnected, detector.ConnectionLost
	d.Seen, d.LastSeen = true, d.At
	w.Decide([]detector.Decision{d})
}

// decision is about the next agent, as a detector makes it.
func (w *way) decision() detector.Decision {
	w.decided++
	id := detector.AgentID(w.decided%fleetSize + 1)
	return detector.Decision{At: w.clock.Now(), ID: id, Name: fleetNames[id-1], IP: fleetAddrs[id-1], Interval: time.Minute}
}

var fleetNames, fleetAddrs = func() (names, addrs []string) {
	for _, m := range members(fleetSize) {
		names, addrs = append(names, m.Name), append(addrs, address(m.ID).String())
	}
	return names, addrs
}()
