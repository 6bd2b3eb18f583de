package keys

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/kv"
	"github.com/wazuh-pulse/pulse/internal/logonce"
	"github.com/wazuh-pulse/pulse/seal"
)

// Bucket is the key-value bucket with the public keys of every node, under its name.
const Bucket = "PULSE_KEYS"

const (
	description   = "Pulse: the public keys of every node"
	answerTimeout = 5 * time.Second
	retryDelay    = time.Minute
	// readPeriod is how often the public keys are read: a new one is to be in the bucket
	// before anything is signed with it, from the node's next start on.
	readPeriod = time.Second
	// defaultCheckPeriod is how often the bucket is read: somebody may have removed the keys.
	defaultCheckPeriod = time.Minute
)

// KVPublisher publishes a node's public keys in the bucket [Bucket].
type KVPublisher struct {
	Files *Files
	Log   *slog.Logger

	problem        logonce.Condition
	warnedWipeable bool          // a bucket that can be wiped was logged
	checkPeriod    time.Duration // between two reads of the bucket; 0 for checkTime
}

// Run writes the keys on one connection, and again when they change or are gone from the
// bucket, until ctx or the connection ends. The refusal is why the server did not accept a
// message on a subject.
func (b *KVPublisher) Run(ctx context.Context, nc *nats.Conn, ended <-chan struct{}, refusal func(subject string) error) {
	var shown []byte
	var checked time.Time
	for {
		next := readPeriod
		text, err := b.readPublicKeys()
		if err == nil && (!bytes.Equal(text, shown) || time.Since(checked) >= cmp.Or(b.checkPeriod, defaultCheckPeriod)) {
			if err = b.publishKeys(ctx, nc, text, bytes.Equal(text, shown), refusal); err == nil {
				shown, checked = text, time.Now()
			} else {
				next = retryDelay
			}
		}
		if ctx.Err() == nil && !nc.IsClosed() {
			b.logState(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ended:
			return
		case <-time.After(min(next, cmp.Or(b.checkPeriod, next))):
		}
	}
}

func (b *KVPublisher) readPublicKeys() ([]byte, error) {
	all, err := b.Files.ReadPublicKeys()
	if err != nil {
		return nil, err
	}
	return seal.MarshalKeys(all...)
}

// logState logs what is wrong, once until that changes. The bucket is a convenience: the
// file has the keys too.
func (b *KVPublisher) logState(err error) {
	if !b.problem.Set(err) {
		return
	}
	if err == nil {
		b.Log.Info("the public keys are in the bucket now", "bucket", Bucket)
		return
	}
	level := slog.LevelWarn
	if errors.Is(err, errNoJetStream) {
		level = slog.LevelInfo
	}
	b.Log.Log(context.Background(), level, "the public keys are not shown on NATS; public.jwks in <state_dir> has them", "bucket", Bucket, "err", err)
}

var errNoJetStream = errors.New("the NATS server has no JetStream")

// publishKeys writes the keys if the bucket does not have them.
func (b *KVPublisher) publishKeys(ctx context.Context, nc *nats.Conn, text []byte, again bool, refusal func(subject string) error) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	c := &bucketClient{js, "$KV." + Bucket + "." + b.Files.Node, refusal}
	s, err := c.openStream(ctx)
	if err != nil {
		return err
	}
	if !b.warnedWipeable { // a server answers nothing to who may not
		if err := c.forbidRollUps(ctx, s); err != nil {
			b.warnedWipeable = true
			b.Log.Warn("the bucket allows roll-ups: any node may wipe it; an administrator can forbid them", "bucket", Bucket, "err", err)
		}
	}
	there, err := c.getValue(ctx, s)
	if err != nil || bytes.Equal(there, text) {
		return err
	}
	if again {
		b.Log.Warn("the public keys in the bucket were removed or changed by somebody else: they are written again", "bucket", Bucket)
	}
	return c.putValue(ctx, text)
}

const stream = "KV_" + Bucket

// bucketClient reads and writes one key of the bucket.
type bucketClient struct {
	js      jetstream.JetStream
	subject string                     // of the key
	refusal func(subject string) error // see [KVPublisher.Run]
}

// openStream finds the bucket's stream, or makes it.
func (c *bucketClient) openStream(ctx context.Context) (jetstream.Stream, error) {
	s, err := c.findStream(ctx)
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return s, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	s, err = c.js.CreateStream(ctx, kv.StreamConfig(Bucket, description, 1))
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another node was quicker
		return c.findStream(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("make the bucket: %w", c.explainError(err, "$JS.API.STREAM.CREATE."+stream))
	}
	return s, nil
}

func (c *bucketClient) findStream(ctx context.Context) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	s, err := c.js.Stream(ctx, stream)
	if err != nil {
		return nil, fmt.Errorf("find the bucket: %w", c.explainError(err, "$JS.API.STREAM.INFO."+stream))
	}
	return s, nil
}

// forbidRollUps forbids roll-ups in a bucket that somebody else made.
func (c *bucketClient) forbidRollUps(ctx context.Context, s jetstream.Stream) error {
	cfg := s.CachedInfo().Config
	if !kv.AllowsWipe(&cfg) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	return c.explainError(kv.ProtectStream(ctx, c.js, cfg), "$JS.API.STREAM.UPDATE."+stream)
}

// getValue returns the key's value; nil for none.
func (c *bucketClient) getValue(ctx context.Context, s jetstream.Stream) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	m, err := s.GetLastMsgForSubject(ctx, c.subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the bucket: %w", c.explainError(err, "$JS.API.DIRECT.GET."+stream+"."+c.subject))
	}
	return m.Data, nil
}

func (c *bucketClient) putValue(ctx context.Context, text []byte) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if _, err := c.js.Publish(ctx, c.subject, text, jetstream.WithRetryAttempts(0)); err != nil {
		return fmt.Errorf("write the bucket: %w", c.explainError(err, c.subject))
	}
	return nil
}

// explainError returns what an error means. A refused request has no answer: the server
// reports the refused subject apart from it.
func (c *bucketClient) explainError(err error, subject string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return errNoJetStream
	}
	if refused := c.refusal(subject); refused != nil {
		return refused
	}
	return err
}
