package keys

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/internal/jsdomain"
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
	Files  *Files
	Domain jsdomain.Domain // that has the bucket; "" for the server of the connection
	Log    *slog.Logger

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

// readPublicKeys returns the keys as the bucket has them: those of the node's present name alone. What it was called
// before is no matter of a bucket that it writes to under its name.
func (b *KVPublisher) readPublicKeys() ([]byte, error) {
	all, err := b.Files.ReadPublicKeys()
	if err != nil {
		return nil, err
	}
	var own []*seal.Key
	for _, k := range all {
		if k.Node == b.Files.Node {
			k.FormerNodes = nil
			own = append(own, k)
		}
	}
	return seal.MarshalKeys(own...)
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
	if errors.Is(err, kv.ErrNoJetStream) {
		level = slog.LevelInfo
	}
	b.Log.Log(context.Background(), level, "the public keys are not shown on NATS; public.jwks in <state_dir> has them", "bucket", Bucket, "err", err)
}

// publishKeys writes the keys if the bucket does not have them.
func (b *KVPublisher) publishKeys(ctx context.Context, nc *nats.Conn, text []byte, again bool, refusal func(subject string) error) error {
	bucket, err := kv.Open(ctx, nc, kv.BucketConfig{Stream: kv.StreamConfig(Bucket, description, 1), Domain: b.Domain, Timeout: answerTimeout, Refusal: refusal})
	if err != nil {
		return err
	}
	if !b.warnedWipeable {
		if err := bucket.Protect(ctx); err != nil {
			b.warnedWipeable = true
			b.Log.Warn("the bucket allows roll-ups: any node may wipe it; an administrator can forbid them", "bucket", Bucket, "err", err)
		}
	}
	there, err := bucket.Get(ctx, b.Files.Node)
	if err != nil || there != nil && bytes.Equal(there.Data, text) {
		return err
	}
	if again {
		b.Log.Warn("the public keys in the bucket were removed or changed by somebody else: they are written again", "bucket", Bucket)
	}
	_, err = bucket.Put(ctx, b.Files.Node, &nats.Msg{Data: text})
	return err
}
