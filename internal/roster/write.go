package roster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/event"
)

const (
	// writers is how many agents are written at once: each takes two round trips.
	writers = 256
	// triesMax is how often an agent is written that somebody else writes too.
	triesMax = 20
)

// errContended says that a key changed again and again.
var errContended = errors.New("others write it all the time")

// write writes what is news to the bucket, and returns what was written last once
// all of it is acknowledged. The first goes alone: if that is refused, so are the others.
func (r *Roster) write(ctx context.Context, b *bucket, states map[string]*event.AgentState) (last mark, err error) {
	last.Created = b.created
	for id, s := range states {
		if last.Revision, err = r.writeOne(ctx, b, s); err != nil {
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
				revision, err := r.writeOne(ctx, b, s)
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

// writeOne returns the revision of the agent's new value; 0 if the one that is there stays.
func (r *Roster) writeOne(ctx context.Context, b *bucket, s *event.AgentState) (uint64, error) {
	for range triesMax {
		old, revision, err := b.get(ctx, s.AgentID)
		if err != nil {
			return 0, err
		}
		if r.outdated(s, old) {
			r.stats.outdated.Add(1)
			return 0, nil
		}
		s.Updated = time.Now().Unix()
		m, err := r.message(s)
		if err != nil {
			return 0, err
		}
		before := revision
		revision, err = b.put(ctx, m, s.AgentID, before)
		if errors.Is(err, errChanged) {
			continue // and read again whether ours is still news
		}
		if err == nil {
			r.wrote(old == nil, before)
		}
		return revision, err
	}
	return 0, errContended
}

// wrote counts a write in the place of a value with a revision.
func (r *Roster) wrote(none bool, before uint64) {
	r.stats.written.Add(1)
	r.puts.Add(1)
	switch {
	case before == 0:
		r.added.Add(1)
	case none: // a delete marker
		r.stats.deleted.Add(1)
	}
}

// outdated says whether s is no news to a bucket with this value. What is no
// value of ours is replaced.
func (r *Roster) outdated(s *event.AgentState, value *kept) bool {
	if value == nil {
		return false
	}
	old, form, err := value.order(s.AgentID)
	if err != nil || old.AgentID != s.AgentID {
		if r.stats.unreadable.Add(1) == 1 {
			r.log.Error("a value in the roster is not understood: it is replaced", "agent", s.AgentID, "err", err)
		}
		return false
	}
	if old.Node == s.Node && old.Epoch == s.Epoch && old.Sequence == s.Sequence {
		return form == r.form() // else it is for other keys
	}
	if err := r.checkTime(old, time.Now()); err != nil {
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
	// unread is how many messages the node may have made since it was asked for its latest.
	unread = 1 << 20
)

// checkTime refuses a value that would keep out every later one: of a time that has
// not come, or in this node's name with a number that it has not reached.
func (r *Roster) checkTime(s *event.AgentState, now time.Time) error {
	if r.cfg.Latest != nil && s.Node == r.cfg.Node {
		if epoch, sequence := r.cfg.Latest(); s.Epoch > epoch || s.Epoch == epoch && s.Sequence > sequence+unread {
			return fmt.Errorf("number %d of epoch %d is in the name of this node, which is at %d of %d", s.Sequence, s.Epoch, sequence, epoch)
		}
		return nil
	}
	if at, latest := max(s.Since, s.LastSeen), now.Add(aheadMax).Unix(); at > latest {
		return fmt.Errorf("node %s says it is %d, and it is not %d yet", s.Node, at, latest)
	}
	return nil
}
