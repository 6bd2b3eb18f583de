package roster

import (
	"context"
	"sync"

	"github.com/wazuh-pulse/pulse/event"
)

// readers is how many values are read at once.
const readers = 64

// ListLeft returns of some agents those that a run of this node before this one has left in the
// bucket as not disconnected. Of a state that this node cannot read, no more is known than its
// order says.
func (r *Roster) ListLeft(ctx context.Context, ids []string) (left []event.AgentState, err error) {
	c, err := r.connect(ctx)
	if err != nil {
		return nil, err
	}
	b, err := openBucket(ctx, c, r.timing.answerTimeout)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex // of left
	err = forEach(ctx, readers, ids, func(ctx context.Context, id string) error {
		value, _, err := b.getAgentValue(ctx, id)
		if err != nil {
			return err
		}
		if s := r.parseLeft(id, value); s != nil {
			mu.Lock()
			left = append(left, *s)
			mu.Unlock()
		}
		return nil
	})
	return left, err
}

// parseLeft returns the state of a value if a run of this node before this one has left it; nil if
// not, or if the agent was disconnected.
func (r *Roster) parseLeft(id string, value *storedValue) *event.AgentState {
	if value == nil || r.cfg.Latest == nil {
		return nil
	}
	s, _, err := value.parseOrder(id)
	if epoch, _ := r.cfg.Latest(); err != nil || s.AgentID != id || s.Node != r.cfg.Node || s.Epoch >= epoch || s.Status == event.Disconnected || s.ToNode != "" {
		return nil
	}
	return s
}
