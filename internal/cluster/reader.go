package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wazuh-pulse/pulse/internal/ownership"
)

const (
	// gatherTime is how long a reader waits at least for more after a hint, one request for
	// many, if it has read records a moment ago. It waits for as long as reading took, times
	// the number of nodes, so that all of them keep the server busy for half of the time at
	// most. The first hint has it read at once.
	gatherTime, gatherMax = 20 * time.Millisecond, 2 * time.Second
	// retryMin and retryMax are between two requests to replicas that are behind.
	retryMin, retryMax = 5 * time.Millisecond, 250 * time.Millisecond
)

// reader reads the bucket from a position. One goroutine uses it.
type reader struct {
	*sessionView
	position  uint64
	loadUpTo  uint64 // everything up to it is to be read before the view is complete
	verifiers map[string]*verifier
	looked    map[string]time.Time // when a node's public keys were read last
	missed    map[string][]keyID   // by node: keys of records that were refused, since they were not known
}

func newReader(o *sessionView) *reader {
	return &reader{sessionView: o, verifiers: make(map[string]*verifier), looked: make(map[string]time.Time), missed: make(map[string][]keyID)}
}

// followStream reads the bucket, and what comes, until something fails or ctx ends.
func (r *reader) followStream(ctx context.Context) error {
	check := time.NewTicker(r.timing.check)
	defer check.Stop()
	look := time.NewTicker(r.timing.keyWait)
	defer look.Stop()
	if err := r.waitForOwnKey(ctx); err != nil {
		return err
	}
	for {
		began := time.Now()
		if err := r.readTo(ctx); err != nil {
			return err
		}
		read := time.Now()
		select {
		case <-r.target.changed:
			if pause := min(max(gatherTime, read.Sub(began)*time.Duration(len(r.verifiers))), gatherMax); time.Since(read) < pause {
				waitFor(ctx, pause)
			}
		case <-check.C:
			if err := r.checkBucket(ctx); err != nil {
				return err
			}
		case <-look.C:
			if err := r.readMissedKeys(ctx); err != nil {
				return err
			}
		case <-r.bucket.session.Ended():
			return r.bucket.session.Reason()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func waitFor(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// readTo reads until the target is reached. A replica that does not have all that is stored
// is asked again, for as long as an answer may take.
func (r *reader) readTo(ctx context.Context) error {
	delay, since := retryMin, time.Now()
	for {
		target := r.target.read()
		if target <= r.position {
			r.completeLoad(false)
			return nil
		}
		r.stats.requests.Add(1)
		records, more, err := r.bucket.readRecords(ctx, r.position, target)
		if err != nil {
			return err
		}
		if err := r.applyRecords(ctx, records); err != nil {
			return err
		}
		r.completeLoad(more)
		switch {
		case more:
			delay, since = retryMin, time.Now()
		case len(records) > 0 && r.position < target && time.Since(since) <= r.timing.answer:
			delay = retryMin
		case r.position >= target:
			r.completeLoad(false)
			return nil
		case time.Since(since) > r.timing.answer:
			r.position = max(r.position, min(target, r.loadUpTo)) // what is not there was removed
			r.giveUpTarget()
			r.completeLoad(false)
			return nil
		default:
			waitFor(ctx, delay)
			delay = min(2*delay, retryMax)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// giveUpTarget goes on without the records that a node says it has stored.
func (r *reader) giveUpTarget() {
	node := r.target.giveUp(r.position)
	if node == "" {
		return
	}
	r.stats.falseHints.Add(1)
	if more, ok := r.refusals.Allow(); ok {
		r.log.Warn("a node says that it has stored records which are not there", "node", fmt.Sprintf("%.60q", node), "more", more)
	}
}

// applyMax is how many records are applied at a time.
const applyMax = 256

// applyRecords verifies records and applies them.
func (r *reader) applyRecords(ctx context.Context, records []stored) error {
	type parsed struct {
		order uint64
		key   ownership.Key
		rec   ownership.Record
		at    string
	}
	for len(records) > applyMax { // so that nobody waits long for the lock
		if err := r.applyRecords(ctx, records[:applyMax]); err != nil {
			return err
		}
		records = records[applyMax:]
	}
	valid, refused := make([]parsed, 0, len(records)), []parsed(nil)
	for _, s := range records {
		key, rec, err := r.openRecord(ctx, s)
		if _, unknown := errors.AsType[*keysError](err); unknown {
			return err // what it is is found out in the next session
		}
		if err != nil {
			r.refuseRecord(s.key, err)
			refused = append(refused, parsed{order: s.order, key: key})
			continue
		}
		valid = append(valid, parsed{s.order, key, rec, s.at})
	}
	r.mu.Lock()
	r.member.SetTime(r.now())
	for i := range refused {
		r.member.RecordRefused(refused[i].key, refused[i].order)
	}
	for i := range valid {
		p := &valid[i]
		if err := r.member.ApplyRecord(p.order, p.key, p.rec); err != nil {
			r.stats.replayed.Add(1)
			r.refuseRecord(p.key.String(), err)
			r.member.RecordRefused(p.key, p.order)
		} else if p.key.Kind == ownership.BeatRecord {
			r.seen[p.key.Node] = time.Now()
			if p.key.Node == r.cfg.Node {
				r.noticeGap(p.at)
			}
		}
	}
	if n := len(records); n > 0 {
		r.position = records[n-1].order
		r.member.AdvanceFrontier(r.position)
	}
	r.checkVerdict()
	r.signalQueued()
	r.mu.Unlock()
	r.stats.read.Add(uint64(len(records)))
	r.deliverEvents()
	return nil
}

// keysError is why it is not known which public keys a node has.
type keysError struct{ error }

// openRecord verifies and parses one value.
func (r *reader) openRecord(ctx context.Context, s stored) (key ownership.Key, rec ownership.Record, err error) {
	key, ok := ownership.ParseKey(s.key)
	if !ok {
		return ownership.Key{}, rec, fmt.Errorf("key %.80q", s.key)
	}
	v := r.verifiers[key.Node]
	if v == nil {
		if len(r.verifiers) >= ownership.NodesMax {
			return key, rec, ownership.ErrTooMany
		}
		if v, err = r.readVerifier(ctx, key.Node); err != nil {
			return key, rec, &keysError{err}
		}
	}
	text, err := v.verifyValue(s.key, s.value)
	_, unknown := errors.AsType[unknownKeyError](err)
	if unknown && time.Since(r.looked[key.Node]) > r.timing.keyWait {
		if v, err = r.readVerifier(ctx, key.Node); err != nil {
			return key, rec, &keysError{err}
		}
		text, err = v.verifyValue(s.key, s.value)
	}
	if id, unknown := errors.AsType[unknownKeyError](err); unknown {
		r.rememberMissedKey(key.Node, keyID(id))
	}
	if err != nil {
		return key, rec, err
	}
	rec, err = ownership.ParseRecord(text)
	return key, rec, err
}

// refuseRecord counts a record that is not accepted.
func (r *reader) refuseRecord(key string, err error) {
	r.stats.refused.Add(1)
	if more, ok := r.refusals.Allow(); ok {
		r.log.Warn("a record in the cluster's bucket is refused", "key", fmt.Sprintf("%.120q", key), "err", err, "more", more)
	}
}

// completeLoad makes the view complete once everything has been read.
func (r *reader) completeLoad(more bool) {
	if more || r.position < r.loadUpTo {
		return
	}
	r.mu.Lock()
	first := !r.loaded
	if first {
		r.loaded = true
		r.member.State.EndReread()
		r.reconcileRestored()
		r.member.ReconcileStored()
		r.departUnknown()
		r.checkVerdict()
		r.signalQueued()
	}
	fresh := time.Since(r.good) < r.timing.cutOff
	r.mu.Unlock()
	if first {
		r.deliverEvents()
		if r.cfg.OnLoaded != nil {
			r.cfg.OnLoaded()
		}
	}
	if fresh {
		r.confirmConnection()
	}
}

// checkBucket reads the whole bucket again if it has lost records, and has this node's stored
// again that are not valid.
func (r *reader) checkBucket(ctx context.Context) error {
	if err := r.bucket.readInfo(ctx); err != nil {
		return err
	}
	own, err := r.bucket.countOwn(ctx, r.cfg.Node)
	if err != nil {
		return err
	}
	info := r.bucket.stream.CachedInfo().State
	r.mu.Lock()
	incomplete := r.member.IsIncomplete(own, int(info.Msgs))
	if _, found := r.member.State.Return(); found == 0 {
		r.away = false
	}
	r.replaceRefused()
	r.requeueUnread()
	r.departUnclaimed()
	r.mu.Unlock()
	if incomplete {
		r.log.Warn("the cluster's bucket has lost records: it is read again", "records", info.Msgs)
		r.reread(info.LastSeq)
	}
	return nil
}

// reread begins to read the bucket again. What was read before is valid until then.
func (r *reader) reread(last uint64) {
	r.stats.rereads.Add(1)
	r.mu.Lock()
	r.member.State.BeginReread()
	r.loaded = false
	r.mu.Unlock()
	r.position, r.loadUpTo = 0, last
	r.target.raise(last, "")
	r.target.signal()
}
