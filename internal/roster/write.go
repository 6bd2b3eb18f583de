package roster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/kv"
)

const (
	// writers is how many agents are written at once: each takes two round trips.
	writers = 256
	// triesMax is how often an agent is written that somebody else writes too.
	triesMax = 20
)

// errContended is the error of a key that changed again and again.
var errContended = errors.New("others write it all the time")

// writeAgentStates writes the states that are newer than those in the bucket, and returns the
// last one written once all are acknowledged. The first is written alone: if it is refused,
// so are the others.
func (r *Roster) writeAgentStates(ctx context.Context, b *bucket, states map[string]*event.AgentState) (last checkpoint, err error) {
	last.Created = b.created
	for id, s := range states {
		if last.Revision, err = r.writeNewerState(ctx, b, s); err != nil {
			return last, err
		}
		last.Agent = id
		delete(states, id)
		break
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	todo := make(chan *event.AgentState)
	var mu sync.Mutex // of last
	var writing sync.WaitGroup
	for range min(writers, len(states)) {
		writing.Go(func() {
			for s := range todo {
				revision, err := r.writeNewerState(ctx, b, s)
				if err != nil {
					fail(err)
					return
				}
				mu.Lock()
				if revision > last.Revision {
					last.Agent, last.Revision = s.AgentID, revision
				}
				mu.Unlock()
			}
		})
	}
	for _, s := range states {
		select {
		case todo <- s:
		case <-ctx.Done():
		}
	}
	close(todo)
	writing.Wait()
	return last, context.Cause(ctx)
}

// writeNewerState returns the revision of the agent's new value; 0 if the one that is there stays.
func (r *Roster) writeNewerState(ctx context.Context, b *bucket, s *event.AgentState) (uint64, error) {
	for range triesMax {
		old, revision, err := b.getAgentValue(ctx, s.AgentID)
		if err != nil {
			return 0, err
		}
		if r.isStateOutdated(s, old) {
			r.stats.outdated.Add(1)
			return 0, nil
		}
		s.Updated = time.Now().Unix()
		m, err := r.encodeStateValue(s)
		if err != nil {
			return 0, err
		}
		before := revision
		revision, err = b.Put(ctx, s.AgentID, m, jetstream.WithExpectLastSequencePerSubject(before))
		if errors.Is(err, kv.ErrChanged) {
			continue // and compare again
		}
		if err == nil {
			r.countBucketWrite(old == nil, before)
		}
		return revision, err
	}
	return 0, errContended
}

// countBucketWrite counts a write in the place of a value with a revision.
func (r *Roster) countBucketWrite(none bool, before uint64) {
	r.stats.written.Add(1)
	r.puts.Add(1)
	switch {
	case before == 0:
		r.added.Add(1)
	case none: // a delete marker
		r.stats.deleted.Add(1)
	}
}

// isStateOutdated reports whether a state is not newer than the value in the bucket. A value that
// cannot be parsed is replaced.
func (r *Roster) isStateOutdated(s *event.AgentState, value *storedValue) bool {
	if value == nil {
		return false
	}
	old, fingerprint, err := value.parseOrder(s.AgentID)
	if err != nil || old.AgentID != s.AgentID {
		if r.stats.unreadable.Add(1) == 1 {
			r.log.Error("a value in the roster is not understood: it is replaced", "agent", s.AgentID, "err", err)
		}
		return false
	}
	if old.Node == s.Node && old.Epoch == s.Epoch && old.Sequence == s.Sequence {
		return fingerprint == r.keyFingerprint() // else it is for other keys
	}
	if err := r.checkStateTime(old, time.Now()); err != nil {
		if r.stats.unreadable.Add(1) == 1 {
			r.log.Error("a value in the roster is of the future: it is replaced", "agent", s.AgentID, "err", err)
		}
		return false
	}
	return !s.Supersedes(old)
}

const (
	// aheadMax is how far the clock of another node may be ahead.
	aheadMax = 10 * time.Minute
	// unreadMax is how many messages the node may have made since it was asked for its latest.
	unreadMax = 1 << 20
)

// checkStateTime refuses a value that would keep out every later one: of a time that has
// not come, or in this node's name with a number that it has not reached.
func (r *Roster) checkStateTime(s *event.AgentState, now time.Time) error {
	if r.cfg.Latest != nil && s.Node == r.cfg.Node {
		if epoch, sequence := r.cfg.Latest(); s.Epoch > epoch || s.Epoch == epoch && s.Sequence > sequence+unreadMax {
			return fmt.Errorf("number %d of epoch %d is in the name of this node, which is at %d of %d", s.Sequence, s.Epoch, sequence, epoch)
		}
		return nil
	}
	if at, latest := max(s.Since, s.LastSeen), now.Add(aheadMax).Unix(); at > latest {
		return fmt.Errorf("node %s says it is %d, and it is not %d yet", s.Node, at, latest)
	}
	return nil
}
