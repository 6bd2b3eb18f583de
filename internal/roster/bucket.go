package roster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/kv"
)

const (
	stream      = "KV_" + event.AgentsBucket
	keys        = "$KV." + event.AgentsBucket + "."
	description = "Pulse: the present state of every agent"
)

var (
	errNoJetStream = errors.New("no JetStream")
	errNoBucket    = errors.New("no bucket")
	errAnother     = errors.New("the bucket is not the one it was")
	errChanged     = errors.New("the value has changed meanwhile")
)

// bucket is the key-value bucket on one connection. It is used as the stream that
// it is: so a bucket can be written with few rights (see docs/messages.md), and
// a deleted key is seen with its revision.
type bucket struct {
	refusal      func(subject string) error // see connection
	js           jetstream.JetStream
	stream       jetstream.Stream
	created      time.Time
	contents     contents
	timeout      time.Duration // for an answer
	triedProtect bool          // to protect it
}

// contents is how much a bucket holds.
type contents struct {
	LastSeq  uint64 `json:"last_seq"` // the number of the last write, whoever made it
	Messages uint64 `json:"messages"` // keys, those with a delete marker too
}

func openBucket(ctx context.Context, c *connection, wait time.Duration) (*bucket, error) {
	js, err := jetstream.New(c.Conn)
	if err != nil {
		return nil, fmt.Errorf("set up the roster: %w", err)
	}
	b := &bucket{refusal: c.refusal, js: js, timeout: wait}
	err = b.openBucketStream(ctx)
	if errors.Is(err, errNoBucket) {
		if failed := b.createBucketStream(ctx); failed != nil {
			return nil, fmt.Errorf("%w: %w", err, failed)
		}
		err = b.openBucketStream(ctx)
	}
	return b, err
}

func (b *bucket) openBucketStream(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	s, err := b.js.Stream(ctx, stream)
	if errors.Is(err, nats.ErrNoResponders) {
		return errNoJetStream
	}
	if err != nil {
		return b.explainServerError("find the bucket", err, "$JS.API.STREAM.INFO."+stream)
	}
	info := s.CachedInfo()
	b.stream, b.created = s, info.Created
	b.contents = contents{info.State.LastSeq, info.State.Msgs}
	return nil
}

// endMaking is how long a bucket may still be made after it is no longer wanted: an
// embedded server that stops meanwhile would leave it half made.
const endMaking = time.Second

func (b *bucket) createBucketStream(parent context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(parent), b.timeout)
	defer cancel()
	defer context.AfterFunc(parent, func() { time.AfterFunc(endMaking, cancel) })()
	_, err := b.js.CreateStream(ctx, kv.StreamConfig(event.AgentsBucket, description, 1))
	if err != nil && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another node was quicker
		return b.explainServerError("make the bucket", err, "$JS.API.STREAM.CREATE."+stream)
	}
	return nil
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

// forbidRollUps forbids roll-ups in a bucket that somebody else made.
func (b *bucket) forbidRollUps(ctx context.Context) error {
	cfg := b.stream.CachedInfo().Config
	if b.triedProtect || !kv.AllowsWipe(&cfg) {
		return nil
	}
	b.triedProtect = true // once on a connection: a server answers nothing to who may not
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	if err := kv.ProtectStream(ctx, b.js, cfg); err != nil {
		return b.explainServerError("protect the bucket", err, "$JS.API.STREAM.UPDATE."+stream)
	}
	return nil
}

// reopen returns an error if the bucket is another one by now.
func (b *bucket) reopen(ctx context.Context) error {
	before := b.created
	if err := b.openBucketStream(ctx); err != nil {
		return err
	}
	if !b.created.Equal(before) {
		return errAnother
	}
	return nil
}

// getAgentValue returns an agent's value and its revision. A deleted key has no value, and a
// revision; one that never was has neither.
func (b *bucket) getAgentValue(ctx context.Context, id string) (value *storedValue, revision uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	m, err := b.stream.GetLastMsgForSubject(ctx, keys+id)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil, 0, nil
	case err != nil:
		return nil, 0, b.explainServerError("read agent "+id, err, "$JS.API.DIRECT.GET."+stream+"."+keys+id)
	case len(m.Data) == 0:
		return nil, m.Sequence, nil
	}
	return &storedValue{m.Data, m.Header.Get(orderHeader)}, m.Sequence, nil
}

// putAgentValue writes an agent's value in the place of the one with that revision.
func (b *bucket) putAgentValue(ctx context.Context, m *nats.Msg, id string, revision uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	m.Subject = keys + id
	ack, err := b.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(revision), jetstream.WithRetryAttempts(0))
	if err == nil {
		return ack.Sequence, nil
	}
	if api, ok := errors.AsType[*jetstream.APIError](err); ok &&
		(api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant) {
		return 0, errChanged
	}
	return 0, b.explainServerError("write agent "+id, err, keys+id)
}

// explainServerError returns what an error means for the roster. A refused request has no answer:
// the server reports the refused subject apart from it.
func (b *bucket) explainServerError(what string, err error, subjects ...string) error {
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return errNoBucket
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return errNoJetStream
	}
	for _, subject := range subjects {
		if refused := b.refusal(subject); refused != nil {
			err = refused
		}
	}
	return fmt.Errorf("%s: %w", what, err)
}
