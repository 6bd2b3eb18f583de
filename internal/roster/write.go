package roster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/kv"
)

const (
	// writers is how many agents are written at once whose values have to be read first: each
	// takes two round trips.
	writers = 256
	// window is how many others are under way at once.
	window = 500
	// triesMax is how often an agent is written that somebody else writes too.
	triesMax = 20
)

// errContended is the error of a key that changed again and again.
var errContended = errors.New("others write it all the time")

// writeAgentStates writes the states that are newer than those in the bucket, and returns the
// last one written once all are acknowledged. The first is written alone: if it is refused,
// so are the others.
func (r *Roster) writeAgentStates(ctx context.Context, b *bucket, states map[string]*event.AgentState) (last checkpoint, err error) {
	all := slices.Collect(maps.Values(states))
	w := &writing{Roster: r, bucket: b}
	w.last.Created = b.created
	for first := min(1, len(all)); len(all) > 0 && err == nil; first = window {
		n := min(first, len(all))
		err = w.writePart(ctx, all[:n])
		all = all[n:]
	}
	return w.last, err
}

// writing is the writing of one batch.
type writing struct {
	*Roster
	bucket *bucket
	mu     sync.Mutex // of last, and of the bucket's revisions
	last   checkpoint // the last that was written
}

// writePart writes states. Where the revision of a key is known, its value is not read.
func (w *writing) writePart(ctx context.Context, states []*event.AgentState) error {
	var unknown []*event.AgentState
	var puts []knownPut
	for _, s := range states {
		if before, known := w.bucket.revisions.findRevision(s.AgentID); known {
			puts = append(puts, knownPut{state: s, before: before})
		} else {
			unknown = append(unknown, s)
		}
	}
	changed, err := w.writeKnown(ctx, puts)
	if err != nil {
		return err
	}
	return w.compareAndWrite(ctx, append(unknown, changed...))
}

// knownPut is a write in the place of a revision.
type knownPut struct {
	state   *event.AgentState
	before  uint64
	pending *kv.PendingPut
}

// writeKnown writes states in the place of known revisions. It returns those whose keys have
// another one.
func (w *writing) writeKnown(ctx context.Context, puts []knownPut) (changed []*event.AgentState, err error) {
	if err := w.startPuts(puts); err != nil {
		return nil, err
	}
	for i := range puts {
		p := &puts[i]
		switch revision, err := p.pending.Wait(ctx); {
		case errors.Is(err, kv.ErrChanged):
			w.bucket.revisions.forgetRevision(p.state.AgentID)
			changed = append(changed, p.state)
		case err != nil:
			return nil, err
		default:
			w.countBucketWrite(false, p.before)
			w.recordWrite(p.state.AgentID, revision)
		}
	}
	return changed, nil
}

// startPuts encodes states, on all processors if they are many, and sends them.
func (w *writing) startPuts(puts []knownPut) error {
	workers := min(runtime.GOMAXPROCS(0), (len(puts)+minShare-1)/minShare)
	failed := make([]error, workers)
	var running sync.WaitGroup
	for i := range workers {
		share := puts[len(puts)*i/workers : len(puts)*(i+1)/workers]
		running.Go(func() {
			for k := range share {
				if failed[i] = w.startPut(&share[k]); failed[i] != nil {
					return
				}
			}
		})
	}
	running.Wait()
	return errors.Join(failed...)
}

// minShare is how many states are worth another goroutine: to sign one takes 20 to 40 µs.
const minShare = 8

func (w *writing) startPut(p *knownPut) error {
	p.state.Updated = time.Now().Unix()
	m, err := w.encodeStateValue(p.state)
	if err != nil {
		return err
	}
	p.pending, err = w.bucket.writer.StartPut(p.state.AgentID, m, p.before)
	return err
}

// recordWrite records that a key has a new revision.
func (w *writing) recordWrite(id string, revision uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bucket.revisions.setRevision(id, revision)
	if revision > w.last.Revision {
		w.last.Agent, w.last.Revision = id, revision
	}
}

// compareAndWrite writes those states that are newer than the values that are there.
func (w *writing) compareAndWrite(ctx context.Context, states []*event.AgentState) error {
	return forEach(ctx, writers, states, func(ctx context.Context, s *event.AgentState) error {
		revision, err := w.writeNewerState(ctx, w.bucket, s)
		if err == nil && revision > 0 {
			w.recordWrite(s.AgentID, revision)
		}
		return err
	})
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
		return fingerprint == r.keys // else it is for other keys
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
	// unreadMax is how many messages the node may have made since it was asked for its latest, and
	// how many orders of its cluster it may not have read.
	unreadMax = 1 << 20
)

// checkStateTime refuses a value that would keep out every later one: of a time that has
// not come, or in this node's name with a number that it has not reached. In a cluster, whose
// nodes' clocks may differ, the time is the order of what its nodes share.
func (r *Roster) checkStateTime(s *event.AgentState, now time.Time) error {
	if r.cfg.Latest != nil && s.Node == r.cfg.Node {
		if epoch, sequence := r.cfg.Latest(); s.Epoch > epoch || s.Epoch == epoch && s.Sequence > sequence+unreadMax {
			return fmt.Errorf("number %d of epoch %d is in the name of this node, which is at %d of %d", s.Sequence, s.Epoch, sequence, epoch)
		}
		return nil
	}
	if s.ClusterOrder > 0 && r.cfg.LatestOrder != nil {
		if latest := r.cfg.LatestOrder(); latest > 0 && s.ClusterOrder > latest+unreadMax {
			return fmt.Errorf("node %s says it is of order %d, and that of the cluster is %d", s.Node, s.ClusterOrder, latest)
		}
		return nil
	}
	if at, latest := max(s.Since, s.LastSeen), now.Add(aheadMax).Unix(); at > latest {
		return fmt.Errorf("node %s says it is %d, and it is not %d yet", s.Node, at, latest)
	}
	return nil
}
