package seal

import (
	"encoding/json"
	"fmt"

	"github.com/wazuh-pulse/pulse/event"
)

// replayWindow is which sequences of a node's epoch were accepted in one of its streams,
// from the highest back. Its bits are a ring.
type replayWindow struct {
	epoch   uint64 // 0 before any message
	first   uint64 // sequences before it are not missing
	highest uint64
	seen    []uint64
}

// check accepts a sequence, or refuses it and changes nothing.
func (l *replayWindow) check(epoch, sequence uint64, window int) (p GuardResult, err error) {
	switch {
	case epoch < l.epoch:
		return p, fmt.Errorf("%w: its epoch %d was over before epoch %d", ErrReplayed, epoch, l.epoch)
	case epoch > l.epoch:
		p.NewEpoch = true
		l.startEpoch(epoch, sequence, window)
	case sequence > l.highest:
		l.moveTo(sequence)
	case sequence < l.lowest():
		return p, fmt.Errorf("%w: sequence %d is behind the window, at %d", ErrReplayed, sequence, l.highest)
	case l.wasSeen(sequence):
		return p, fmt.Errorf("%w: sequence %d of epoch %d", ErrReplayed, sequence, epoch)
	default:
		p.Late = true
	}
	l.markSeen(sequence)
	return p, nil
}

// startEpoch begins an epoch. Of a node that is known already, the messages from sequence
// 1 on are expected.
func (l *replayWindow) startEpoch(epoch, sequence uint64, window int) {
	l.first = sequence
	if l.epoch > 0 {
		l.first = 1
	}
	if l.seen == nil {
		l.seen = make([]uint64, window/64)
	}
	clear(l.seen)
	l.epoch, l.highest = epoch, sequence
}

// moveTo moves the window's end, and clears what gets into it.
func (l *replayWindow) moveTo(sequence uint64) {
	if sequence-l.highest >= l.size() {
		clear(l.seen)
	} else {
		for q := l.highest + 1; q <= sequence && q != 0; {
			if q%64 == 0 && sequence-q >= 64 {
				l.seen[q%l.size()/64] = 0
				q += 64
				continue
			}
			l.seen[q%l.size()/64] &^= 1 << (q % 64)
			q++
		}
	}
	l.highest = sequence
}

func (l *replayWindow) size() uint64 { return uint64(len(l.seen)) * 64 }

// lowest returns the lowest sequence in the window.
func (l *replayWindow) lowest() uint64 {
	if l.highest < l.size() {
		return 1
	}
	return l.highest - l.size() + 1
}

// wasSeen reports whether a sequence in the window was accepted.
func (l *replayWindow) wasSeen(q uint64) bool {
	return q <= l.highest && q >= l.lowest() && l.seen[q%l.size()/64]&(1<<(q%64)) != 0
}

func (l *replayWindow) markSeen(q uint64) { l.seen[q%l.size()/64] |= 1 << (q % 64) }

// guardState is a guard's state in JSON.
type guardState struct {
	Nodes map[string][2]*windowState `json:"nodes"`
}

// windowState has the accepted sequences as ranges: [from, to], rising.
type windowState struct {
	Epoch   uint64      `json:"epoch"`
	First   uint64      `json:"first"`
	Highest uint64      `json:"highest"`
	Seen    [][2]uint64 `json:"seen"`
}

// stateMax is how long a state may be.
const stateMax = 256 << 20

// State returns the guard's state in JSON, for [RestoreGuard]. Save it together with what
// was made of the messages, and where nobody else may change it: a guard restored from an
// older state accepts the messages since then again.
func (g *Guard) State() []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	state := guardState{Nodes: make(map[string][2]*windowState, len(g.nodes))}
	for name, node := range g.nodes {
		state.Nodes[name] = [2]*windowState{node[statusWindow].saveState(), node[telemetryWindow].saveState()}
	}
	text, err := json.Marshal(state)
	if err != nil {
		panic("seal: a state that is no JSON: " + err.Error()) // text and numbers
	}
	return text
}

func (l *replayWindow) saveState() *windowState {
	if l.epoch == 0 {
		return nil
	}
	s := &windowState{Epoch: l.epoch, First: l.first, Highest: l.highest}
	for q := l.lowest(); q <= l.highest && q != 0; q++ {
		if !l.wasSeen(q) {
			continue
		}
		if n := len(s.Seen); n > 0 && s.Seen[n-1][1] == q-1 {
			s.Seen[n-1][1] = q
		} else {
			s.Seen = append(s.Seen, [2]uint64{q, q})
		}
	}
	return s
}

// RestoreGuard returns a guard that continues from a [Guard.State].
func RestoreGuard(cfg GuardConfig, state []byte) (*Guard, error) {
	g := NewGuard(cfg)
	if len(state) > stateMax {
		return nil, fmt.Errorf("%w: guard state: %d bytes", ErrMalformed, len(state))
	}
	var read guardState
	if err := json.Unmarshal(state, &read); err != nil {
		return nil, fmt.Errorf("%w: guard state: %w", ErrMalformed, err)
	}
	if len(read.Nodes) > nodesMax {
		return nil, fmt.Errorf("%w: guard state: %d nodes", ErrMalformed, len(read.Nodes))
	}
	for name, both := range read.Nodes {
		if event.ValidNode(name) != nil || len(name) > nodeMax {
			return nil, fmt.Errorf("%w: guard state: node %.40q", ErrMalformed, name)
		}
		node := new(nodeWindows)
		for i, s := range both {
			if s == nil {
				continue
			}
			if err := node[i].restoreState(s, g.cfg.Window); err != nil {
				return nil, fmt.Errorf("guard state: node %s: %w", name, err)
			}
		}
		g.nodes[name] = node
	}
	return g, nil
}

func (l *replayWindow) restoreState(s *windowState, window int) error {
	if s.Epoch == 0 || s.First == 0 || s.First > s.Highest {
		return fmt.Errorf("%w: epoch %d from %d to %d", ErrMalformed, s.Epoch, s.First, s.Highest)
	}
	*l = replayWindow{epoch: s.Epoch, first: s.First, highest: s.Highest, seen: make([]uint64, window/64)}
	last := uint64(0)
	for _, row := range s.Seen {
		if row[0] <= last || row[1] < row[0] || row[1] > s.Highest {
			return fmt.Errorf("%w: seen from %d to %d", ErrMalformed, row[0], row[1])
		}
		last = row[1]
		for q := max(row[0], l.lowest()); q <= row[1] && q != 0; q++ {
			l.markSeen(q)
		}
	}
	if last != s.Highest {
		return fmt.Errorf("%w: the highest was not seen", ErrMalformed)
	}
	return nil
}
