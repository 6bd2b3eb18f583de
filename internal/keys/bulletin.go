package keys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
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
)

// Bulletin shows a node's public keys in the bucket [Bucket].
type Bulletin struct {
	Files *Files
	Log   *slog.Logger

	said string
}

// Run puts the keys there on one connection, and again when they are others, until ctx
// or the connection ends. The refusal says why the server did not take a message on a subject.
func (b *Bulletin) Run(ctx context.Context, nc *nats.Conn, ended <-chan struct{}, refusal func(subject string) error) {
	var shown []byte
	for {
		next := lookTime
		text, err := b.read()
		if err == nil && !bytes.Equal(text, shown) {
			if err = b.put(ctx, nc, text, refusal); err == nil {
				shown = text
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
		case <-time.After(next):
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
	switch {
	case err == nil && b.said != "":
		b.said = ""
		b.Log.Info("the public keys are in the bucket now", "bucket", Bucket)
		return
	case err == nil, b.said == err.Error():
		return
	}
	b.said = err.Error()
	level := slog.LevelWarn
	if errors.Is(err, errNoJetStream) {
		level = slog.LevelInfo
	}
	b.Log.Log(context.Background(), level, "the public keys are not shown on NATS; public.jwks in <state_dir> has them", "bucket", Bucket, "err", err)
}

var errNoJetStream = errors.New("the NATS server has no JetStream")

// put writes them without a look at what is there: the bucket keeps one value.
func (b *Bulletin) put(ctx context.Context, nc *nats.Conn, text []byte, refusal func(subject string) error) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	subject := "$KV." + Bucket + "." + b.Files.Node
	publish := func() error {
		ctx, cancel := context.WithTimeout(ctx, answerTime)
		defer cancel()
		_, err := js.Publish(ctx, subject, text, jetstream.WithRetryAttempts(0))
		if refused := refusal(subject); err != nil && refused != nil {
			return refused
		}
		return err
	}
	err = publish()
	if !errors.Is(err, jetstream.ErrNoStreamResponse) && !errors.Is(err, nats.ErrNoResponders) {
		return err
	}
	if err := b.make(ctx, js, refusal); err != nil {
		return err
	}
	return publish()
}

func (b *Bulletin) make(ctx context.Context, js jetstream.JetStream, refusal func(subject string) error) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	_, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: Bucket, Description: describe, History: 1, Storage: jetstream.FileStorage})
	switch {
	case err == nil, errors.Is(err, jetstream.ErrBucketExists):
		return nil
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return errNoJetStream
	}
	for _, subject := range []string{"$JS.API.INFO", "$JS.API.STREAM.CREATE.KV_" + Bucket} {
		if refused := refusal(subject); refused != nil {
			err = refused
		}
	}
	return fmt.Errorf("make the bucket: %w", err)
}
