package keys

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/logonce"
	"github.com/wazuh-pulse/pulse/seal"
)

// Bucket is the key-value bucket with the public keys of every node, under its name.
const Bucket = "PULSE_KEYS"

const (
	describe   = "Pulse: the public keys of every node"
	answerTime = 5 * time.Second
	retryTime  = time.Minute
	// lookTime is how often the public keys are read: a new one is to be in the bucket
	// before anything is signed with it, from the node's next start on.
	lookTime = time.Second
	// checkTime is how often the bucket is looked at: somebody may have removed them.
	checkTime = time.Minute
)

// Bulletin shows a node's public keys in the bucket [Bucket].
type Bulletin struct {
	Files *Files
	Log   *slog.Logger

	shows   logonce.Condition
	exposed bool          // it was said that the bucket can be wiped
	check   time.Duration // between two looks at what is in the bucket; 0 for checkTime
}

// Run puts the keys there on one connection, and again when they are others or are gone
// from there, until ctx or the connection ends. The refusal says why the server did not
// take a message on a subject.
func (b *Bulletin) Run(ctx context.Context, nc *nats.Conn, ended <-chan struct{}, refusal func(subject string) error) {
	var shown []byte
	var checked time.Time
	for {
		next := lookTime
		text, err := b.read()
		if err == nil && (!bytes.Equal(text, shown) || time.Since(checked) >= cmp.Or(b.check, checkTime)) {
			if err = b.show(ctx, nc, text, bytes.Equal(text, shown), refusal); err == nil {
				shown, checked = text, time.Now()
			} else {
				next = retryTime
			}
		}
		if ctx.Err() == nil && !nc.IsClosed() {
			b.complain(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ended:
			return
		case <-time.After(min(next, cmp.Or(b.check, next))):
		}
	}
}

func (b *Bulletin) read() ([]byte, error) {
	all, err := b.Files.Public()
	if err != nil {
		return nil, err
	}
	return seal.MarshalKeys(all...)
}

// complain says what is wrong, once until it is something else or nothing. A bucket is
// a convenience: the file has the keys too.
func (b *Bulletin) complain(err error) {
	if !b.shows.Set(err) {
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

// show writes the keys, if the bucket does not have them.
func (b *Bulletin) show(ctx context.Context, nc *nats.Conn, text []byte, again bool, refusal func(subject string) error) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	c := &client{js, "$KV." + Bucket + "." + b.Files.Node, refusal}
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	if !b.exposed { // a server answers nothing to who may not
		if err := c.protect(ctx, s); err != nil {
			b.exposed = true
			b.Log.Warn("the bucket allows roll-ups: any node may wipe it; an administrator can forbid them", "bucket", Bucket, "err", err)
		}
	}
	there, err := c.get(ctx, s)
	if err != nil || bytes.Equal(there, text) {
		return err
	}
	if again {
		b.Log.Warn("the public keys in the bucket were removed or changed by somebody else: they are written again", "bucket", Bucket)
	}
	return c.put(ctx, text)
}
