package seal

import (
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

// GuardConfig says what a [Guard] lets through.
type GuardConfig struct {
	// Window is how far behind the latest message of a node another may come, in
	// sequences; 0 for [DefaultWindow]. It takes two bits of memory each per node.
	Window int
	// MaxAge is how long ago a message may have been made; 0 for [DefaultMaxAge],
	// negative for any time. Pulse keeps what it cannot send: after an outage of the
	// NATS server, messages are as old as that was long.
	MaxAge time.Duration
	// MaxAhead is how far the node's clock may be ahead of ours; 0 for
	// [DefaultMaxAhead], negative for any time. An epoch is the Unix time of the node's
	// start, or one more than the one before it: it may be ahead by as much and by
	// 60 starts. Else one message with an epoch of the far future would keep out
	// all that its node says later.
	MaxAhead time.Duration
	// Complete says that the guard is shown every message of its nodes, on all
	// subjects. Then it knows which are missing.
	Complete bool
}

// Guard remembers which messages were let through, and lets none through twice.
// It may be used concurrently.
//
// Of a node's messages it tells two streams apart, the status changes and alerts, and
// the telemetry, as one may overtake the other by far when there was an outage. In each
// of them a message may come late, by less than the window, and an epoch that is
// over does not come back.
//
// What it remembers can be kept ([Guard.State]) and restored. Without that, a program
// that starts anew lets messages through again that are no older than MaxAge.
type Guard struct {
	cfg GuardConfig

	mu    sync.Mutex
	nodes map[string]*lanes
}

// lanes are a node's two streams.
type lanes [2]lane

const (
	statusLane = iota
	telemetryLane
)

// NewGuard returns one that has seen nothing.
func NewGuard(cfg GuardConfig) *Guard {
	if cfg.Window == 0 {
		cfg.Window = DefaultWindow
	}
	cfg.Window = (min(max(cfg.Window, windowMin), windowMax) + 63) &^ 63
	if cfg.MaxAge == 0 {
		cfg.MaxAge = DefaultMaxAge
	}
	if cfg.MaxAhead == 0 {
		cfg.MaxAhead = DefaultMaxAhead
	}
	return &Guard{cfg: cfg, nodes: make(map[string]*lanes)}
}

// Passage is what the guard noticed of a message that it let through.
type Passage struct {
	// NewEpoch: the first of a life of its node, in its stream.
	NewEpoch bool
	// Late: it came after one with a higher sequence, in its stream.
	Late bool
	// Missing is how many messages between the one before it and this one have not
	// come. Some may still, a little late: [Guard.Gaps] says what is missing now. It
	// is always 0 unless the guard is told that it sees every message.
	Missing uint64
}

// Pass lets a message through, which it remembers, or says why not: [ErrReplayed],
// [ErrStale] or [ErrFuture]. The message has to be verified before.
func (g *Guard) Pass(s *event.Security, now time.Time) (Passage, error) {
	if s.Epoch == 0 || s.Sequence == 0 {
		return Passage{}, fmt.Errorf("%w: sequence %d of epoch %d", ErrMalformed, s.Sequence, s.Epoch)
	}
	if err := g.checkTime(s, now); err != nil {
		return Passage{}, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	node := g.nodes[s.Node]
	if node == nil {
		if len(g.nodes) >= nodesMax {
			return Passage{}, fmt.Errorf("%w: there are %d already", ErrTooManyNodes, nodesMax)
		}
		node = new(lanes)
		g.nodes[strings.Clone(s.Node)] = node
	}
	at := statusLane
	if isTelemetry(s.Subject) {
		at = telemetryLane
	}
	l := &node[at]
	before := l.highest
	p, err := l.pass(s.Epoch, s.Sequence, g.cfg.Window)
	if err == nil && g.cfg.Complete && at == telemetryLane && !p.Late {
		if p.NewEpoch {
			before = l.first - 1
		}
		p.Missing = node.missing(before+1, s.Sequence-1, nil)
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

// isTelemetry says of which stream a subject is: PREFIX.manager.keepalive.ID and
// PREFIX.manager.status.NODE are telemetry.
func isTelemetry(subject string) bool {
	last := strings.LastIndexByte(subject, '.')
	if last < 0 {
		return false
	}
	rest := subject[:last]
	return strings.HasSuffix(rest, ".manager.keepalive") || strings.HasSuffix(rest, ".manager.status")
}

// Gap is a row of messages of a node that have not come.
type Gap struct {
	Node     string
	Epoch    uint64
	From, To uint64 // sequences, both missing
}

// Gaps returns what is missing now of each node's present life, as far back as the
// window goes; that of a life that is over is forgotten. A message may be on its way: what is in two answers some seconds apart is lost, or is kept
// from us. There are none unless the guard is told that it sees every message.
func (g *Guard) Gaps() (gaps []Gap) {
	if !g.cfg.Complete {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for name, node := range g.nodes {
		t := &node[telemetryLane]
		node.missing(t.first, t.highest, func(sequence uint64) {
			if n := len(gaps); n > 0 && gaps[n-1].Node == name && gaps[n-1].To == sequence-1 {
				gaps[n-1].To = sequence
			} else {
				gaps = append(gaps, Gap{name, t.epoch, sequence, sequence})
			}
		})
	}
	return gaps
}

// missing counts, and tells each of, the sequences of the telemetry's epoch that have
// come in neither stream, where both remember that far.
func (n *lanes) missing(from, to uint64, each func(uint64)) (count uint64) {
	t, s := &n[telemetryLane], &n[statusLane]
	if s.epoch > t.epoch {
		return 0 // what it had of the earlier one is forgotten
	}
	from = max(from, t.oldest())
	if s.epoch == t.epoch {
		from = max(from, s.oldest())
	}
	for q := from; q <= to && q >= from; q++ {
		if !t.has(q) && !(s.epoch == t.epoch && s.has(q)) {
			count++
			if each != nil {
				each(q)
			}
		}
	}
	return count
}
