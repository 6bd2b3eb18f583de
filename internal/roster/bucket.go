package roster

import (
	"context"
	"errors"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/kv"
)

const description = "Pulse: the present state of every agent"

var errAnother = errors.New("the bucket is not the one it was")

// bucket is the key-value bucket on one connection.
type bucket struct {
	*kv.Bucket
	writer       *kv.Writer
	created      time.Time
	contents     contents
	triedProtect bool
	revisions    revisions
}

// contents is how much a bucket holds.
type contents struct {
	LastSeq  uint64 `json:"last_seq"` // the number of the last write, whoever made it
	Messages uint64 `json:"messages"` // keys, those with a delete marker too
}

func openBucket(ctx context.Context, c *connection, wait time.Duration) (*bucket, error) {
	opened, err := kv.Open(ctx, c.Conn, kv.BucketConfig{Stream: kv.StreamConfig(event.AgentsBucket, description, 1), Domain: c.domain, Timeout: wait, Refusal: c.refusal})
	if err != nil {
		return nil, err
	}
	w, err := opened.NewWriter()
	if err != nil {
		return nil, err
	}
	b := &bucket{Bucket: opened, writer: w, created: opened.Info().Created}
	b.countContents()
	b.forgetRevisions()
	return b, nil
}

// forgetRevisions begins anew with what is known of the revisions of the bucket's keys.
func (b *bucket) forgetRevisions() {
	b.revisions = revisions{of: make(map[string]uint64), complete: b.contents.Messages == 0}
}

func (b *bucket) countContents() {
	state := b.Info().State
	b.contents = contents{state.LastSeq, state.Msgs}
}

// containsCheckpoint reports whether this is the bucket of the checkpoint, with all that was
// written to it.
func (b *bucket) containsCheckpoint(ctx context.Context, m checkpoint) (bool, error) {
	if !m.Created.Equal(b.created) {
		return false, nil
	}
	if m.Agent == "" {
		return true, nil
	}
	_, revision, err := b.getAgentValue(ctx, m.Agent)
	return revision >= m.Revision, err
}

// forbidRollUps forbids roll-ups in a bucket that somebody else made. It is tried once on a
// connection.
func (b *bucket) forbidRollUps(ctx context.Context) error {
	if b.triedProtect {
		return nil
	}
	b.triedProtect = true
	return b.Protect(ctx)
}

// reopen returns an error if the bucket is another one by now.
func (b *bucket) reopen(ctx context.Context) error {
	if err := b.Reopen(ctx); err != nil {
		return err
	}
	if !b.Info().Created.Equal(b.created) {
		return errAnother
	}
	b.countContents()
	return nil
}

// getAgentValue returns an agent's value and its revision. A deleted key has no value, and a
// revision; one that never was has neither.
func (b *bucket) getAgentValue(ctx context.Context, id string) (value *storedValue, revision uint64, err error) {
	m, err := b.Get(ctx, id)
	switch {
	case err != nil || m == nil:
		return nil, 0, err
	case len(m.Data) == 0:
		return nil, m.Sequence, nil
	}
	return &storedValue{m.Data, m.Header.Get(orderHeader)}, m.Sequence, nil
}

// revisionsMax is how many revisions are remembered: some 70 bytes each.
const revisionsMax = 1 << 16

// revisions are those of the keys that were written on this connection: the values behind them
// are our own, and so older than what is written next. If the server has another revision by
// then, it refuses the write.
type revisions struct {
	of       map[string]uint64
	complete bool // a key that is not among them was never written
}

// findRevision returns the revision of an agent's key, if it is known; 0 for a key that never was.
func (r *revisions) findRevision(id string) (revision uint64, known bool) {
	revision, known = r.of[id]
	return revision, known || r.complete
}

// setRevision records the revision of an agent's key.
func (r *revisions) setRevision(id string, revision uint64) {
	if _, known := r.of[id]; !known && len(r.of) >= revisionsMax {
		r.complete = false
		return
	}
	r.of[id] = revision
}

// forgetRevision records that the revision of an agent's key is not known.
func (r *revisions) forgetRevision(id string) {
	delete(r.of, id)
	r.complete = false
}
