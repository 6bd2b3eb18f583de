package seal

import (
	"cmp"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/event"
)

// The defaults of a [GuardConfig].
const (
	DefaultWindow   = 1 << 17
	DefaultMaxAge   = 24 * time.Hour
	DefaultMaxAhead = 2 * time.Minute
)

const (
	windowMin, windowMax = 64, 1 << 24
	// startsMax is by how many starts within a second, more than one, an epoch may be ahead.
	startsMax = 60
	// nodesMax is how many nodes a guard remembers: each takes two windows.
	nodesMax = 4096
)

// GuardConfig is what a [Guard] accepts.
type GuardConfig struct {
	// Window is how far behind the latest message of a node another may come, in
	// sequences; 0 for [DefaultWindow]. It takes two bits of memory each per node.
	Window int
	// MaxAge is how old a message may be; 0 for [DefaultMaxAge],
	// negative for any age. Pulse stores what it cannot send: after an outage of the
	// NATS server, messages are as old as the outage was long.
	MaxAge time.Duration
	// MaxAhead is how far the node's clock may be ahead of ours; 0 for
	// [DefaultMaxAhead], negative for any time. An epoch is the Unix time of the node's
	// start, or one more than the one before it: it may be ahead by MaxAhead and by
	// 60 starts. Without a limit, one message with an epoch of the far future would
	// make all later messages of its node replays.
	MaxAhead time.Duration
	// Complete is set if the guard checks every message of its nodes, on all subjects.
	// It then reports which are missing.
	Complete bool
}

// Guard remembers which messages were accepted, and accepts none twice.
// It may be used concurrently.
//
// It has two windows for each node, one for status changes and alerts and one for
// telemetry, as one stream may overtake the other by far after an outage. In each of
// them a message may be late by less than the window. Messages of an epoch that is over
// are replays.
//
// Its state can be saved ([Guard.State]) and restored. Without that, a program that
// restarts accepts again messages that are no older than MaxAge.
type Guard struct {
	cfg GuardConfig

	mu    sync.Mutex
	nodes map[string]*nodeWindows
}

// nodeWindows are the windows of a node's two streams.
type nodeWindows [2]replayWindow

const (
	statusWindow = iota
	telemetryWindow
)

// NewGuard returns a guard that has accepted nothing.
func NewGuard(cfg GuardConfig) *Guard {
	cfg.Window = (min(max(cmp.Or(cfg.Window, DefaultWindow), windowMin), windowMax) + 63) &^ 63
	cfg.MaxAge, cfg.MaxAhead = cmp.Or(cfg.MaxAge, DefaultMaxAge), cmp.Or(cfg.MaxAhead, DefaultMaxAhead)
	return &Guard{cfg: cfg, nodes: make(map[string]*nodeWindows)}
}

// GuardResult is what the guard found out about a message that it accepted.
type GuardResult struct {
	// NewEpoch is set for the first message of a new epoch of its node, in its stream.
	NewEpoch bool
	// Late is set for a message that came after one with a higher sequence, in its stream.
	Late bool
	// Missing is how many messages between the one before it and this one have not
	// come. Some may still come late: [Guard.Gaps] returns what is missing now. It is
	// always 0 unless the guard's configuration has Complete.
	Missing uint64
}

// Check accepts a message, which it remembers, or returns [ErrReplayed], [ErrStale],
// [ErrFuture], [ErrMalformed] or [ErrTooManyNodes]. The message must have been verified.
func (g *Guard) Check(s *event.Security, now time.Time) (GuardResult, error) {
	if s.Epoch == 0 || s.Sequence == 0 {
		return GuardResult{}, fmt.Errorf("%w: sequence %d of epoch %d", ErrMalformed, s.Sequence, s.Epoch)
	}
	if err := g.checkTime(s, now); err != nil {
		return GuardResult{}, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	node := g.nodes[s.Node]
	if node == nil {
		if len(g.nodes) >= nodesMax {
			return GuardResult{}, fmt.Errorf("%w: there are %d already", ErrTooManyNodes, nodesMax)
		}
		node = new(nodeWindows)
		g.nodes[strings.Clone(s.Node)] = node
	}
	at := statusWindow
	if isTelemetry(s.Subject) {
		at = telemetryWindow
	}
	l := &node[at]
	before := l.highest
	p, err := l.check(s.Epoch, s.Sequence, g.cfg.Window)
	if err == nil && g.cfg.Complete && at == telemetryWindow && !p.Late {
		if p.NewEpoch {
			before = l.first - 1
		}
		p.Missing = node.countMissing(before+1, s.Sequence-1, nil)
	}
	return p, err
}

func (g *Guard) checkTime(s *event.Security, now time.Time) error {
	age := now.Sub(time.UnixMilli(s.IssuedAt))
	latest := max(now.Add(max(g.cfg.MaxAhead, 0)).Unix(), 0) + startsMax
	switch {
	case g.cfg.MaxAhead >= 0 && s.Epoch > uint64(latest):
		return fmt.Errorf("%w: its epoch %d is not before %d", ErrFuture, s.Epoch, latest)
	case g.cfg.MaxAge >= 0 && age > g.cfg.MaxAge:
		return fmt.Errorf("%w: made %v ago", ErrStale, age.Round(time.Second))
	case g.cfg.MaxAhead >= 0 && -age > g.cfg.MaxAhead:
		return fmt.Errorf("%w: by %v", ErrFuture, (-age).Round(time.Second))
	}
	return nil
}

// isTelemetry reports whether a subject is one of telemetry: PREFIX.manager.keepalive.ID
// or PREFIX.manager.status.NODE.
func isTelemetry(subject string) bool {
	last := strings.LastIndexByte(subject, '.')
	if last < 0 {
		return false
	}
	rest := subject[:last]
	return strings.HasSuffix(rest, ".manager.keepalive") || strings.HasSuffix(rest, ".manager.status")
}

// Gap is a range of messages of a node that have not come.
type Gap struct {
	Node     string
	Epoch    uint64
	From, To uint64 // sequences, both missing
}

// Gaps returns which messages of each node's present epoch are missing now, as far back as
// the window reaches. A message may be on its way: what two calls some seconds apart
// return is lost or was withheld. There are none unless the configuration has Complete.
func (g *Guard) Gaps() (gaps []Gap) {
	if !g.cfg.Complete {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for name, node := range g.nodes {
		t := &node[telemetryWindow]
		node.countMissing(t.first, t.highest, func(sequence uint64) {
			if n := len(gaps); n > 0 && gaps[n-1].Node == name && gaps[n-1].To == sequence-1 {
				gaps[n-1].To = sequence
			} else {
				gaps = append(gaps, Gap{name, t.epoch, sequence, sequence})
			}
		})
	}
	return gaps
}

// countMissing counts, and calls each with, the sequences of the telemetry's epoch that
// have come in neither stream, as far back as both windows reach.
func (n *nodeWindows) countMissing(from, to uint64, each func(uint64)) (count uint64) {
	t, s := &n[telemetryWindow], &n[statusWindow]
	if s.epoch > t.epoch {
		return 0 // its window of the earlier epoch is gone
	}
	from = max(from, t.lowest())
	if s.epoch == t.epoch {
		from = max(from, s.lowest())
	}
	for q := from; q <= to && q >= from; q++ {
		if !t.wasSeen(q) && !(s.epoch == t.epoch && s.wasSeen(q)) {
			count++
			if each != nil {
				each(q)
			}
		}
	}
	return count
}
