package seal

import (
	"encoding/json"
	"fmt"

	"github.com/wazuh-pulse/pulse/event"
)

// guardState is what a guard remembers, as text.
type guardState struct {
	Nodes map[string][2]*laneState `json:"nodes"`
}

// laneState has what was seen as rows: [from, to], rising.
type laneState struct {
	Epoch   uint64      `json:"epoch"`
	First   uint64      `json:"first"`
	Highest uint64      `json:"highest"`
	Seen    [][2]uint64 `json:"seen"`
}

// stateMax is how long a state may be.
const stateMax = 256 << 20

// State returns what the guard remembers, as JSON, to be restored with
// [RestoreGuard]. Keep it with what you made of the messages, and where nobody else
// may change it: who loses the end of it is told those messages again.
func (g *Guard) State() []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	state := guardState{Nodes: make(map[string][2]*laneState, len(g.nodes))}
	for name, node := range g.nodes {
		state.Nodes[name] = [2]*laneState{node[statusLane].state(), node[telemetryLane].state()}
	}
	text, err := json.Marshal(state)
	if err != nil {
		panic("seal: a state that is no JSON: " + err.Error()) // text and numbers
	}
	return text
}

func (l *lane) state() *laneState {
	if l.epoch == 0 {
		return nil
	}
	s := &laneState{Epoch: l.epoch, First: l.first, Highest: l.highest}
	for q := l.oldest(); q <= l.highest && q != 0; q++ {
		if !l.has(q) {
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

// RestoreGuard returns a guard that goes on from a [Guard.State].
func RestoreGuard(cfg GuardConfig, state []byte) (*Guard, error) {
	g := NewGuard(cfg)
	if len(state) > stateMax {
		return nil, fmt.Errorf("restore the guard: %w: %d bytes", ErrMalformed, len(state))
	}
	var read guardState
	if err := json.Unmarshal(state, &read); err != nil {
		return nil, fmt.Errorf("restore the guard: %w: %w", ErrMalformed, err)
	}
	if len(read.Nodes) > nodesMax {
		return nil, fmt.Errorf("restore the guard: %w: %d nodes", ErrMalformed, len(read.Nodes))
	}
	for name, both := range read.Nodes {
		if event.ValidNode(name) != nil || len(name) > nodeMax {
			return nil, fmt.Errorf("restore the guard: %w: node %.40q", ErrMalformed, name)
		}
		node := new(lanes)
		for i, s := range both {
			if s == nil {
				continue
			}
			if err := node[i].restore(s, g.cfg.Window); err != nil {
				return nil, fmt.Errorf("restore the guard: node %s: %w", name, err)
			}
		}
		g.nodes[name] = node
	}
	return g, nil
}

func (l *lane) restore(s *laneState, window int) error {
	if s.Epoch == 0 || s.First == 0 || s.First > s.Highest {
		return fmt.Errorf("%w: epoch %d from %d to %d", ErrMalformed, s.Epoch, s.First, s.Highest)
	}
	*l = lane{epoch: s.Epoch, first: s.First, highest: s.Highest, seen: make([]uint64, window/64)}
	last := uint64(0)
	for _, row := range s.Seen {
		if row[0] <= last || row[1] < row[0] || row[1] > s.Highest {
			return fmt.Errorf("%w: seen from %d to %d", ErrMalformed, row[0], row[1])
		}
		last = row[1]
		for q := max(row[0], l.oldest()); q <= row[1] && q != 0; q++ {
			l.set(q)
		}
	}
	if last != s.Highest {
		return fmt.Errorf("%w: the highest was not seen", ErrMalformed)
	}
	return nil
}
