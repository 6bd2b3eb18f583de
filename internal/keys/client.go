package keys

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/kv"
)

const stream = "KV_" + Bucket

// client reads and writes one key of the bucket.
type client struct {
	js      jetstream.JetStream
	subject string                     // of the key
	refusal func(subject string) error // see [Bulletin.Run]
}

// open finds the bucket's stream, or makes it.
func (c *client) open(ctx context.Context) (jetstream.Stream, error) {
	s, err := c.find(ctx)
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return s, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	s, err = c.js.CreateStream(ctx, kv.StreamConfig(Bucket, describe, 1))
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another node was quicker
		return c.find(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("make the bucket: %w", c.explain(err, "$JS.API.STREAM.CREATE."+stream))
	}
	return s, nil
}

func (c *client) find(ctx context.Context) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	s, err := c.js.Stream(ctx, stream)
	if err != nil {
		return nil, fmt.Errorf("find the bucket: %w", c.explain(err, "$JS.API.STREAM.INFO."+stream))
	}
	return s, nil
}

// protect forbids roll-ups in a bucket that somebody else made.
func (c *client) protect(ctx context.Context, s jetstream.Stream) error {
	cfg := s.CachedInfo().Config
	if !kv.Wipeable(&cfg) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	return c.explain(kv.Protect(ctx, c.js, cfg), "$JS.API.STREAM.UPDATE."+stream)
}

// get returns the key's value; nil for none.
func (c *client) get(ctx context.Context, s jetstream.Stream) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	m, err := s.GetLastMsgForSubject(ctx, c.subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the bucket: %w", c.explain(err, "$JS.API.DIRECT.GET."+stream+"."+c.subject))
	}
	return m.Data, nil
}

func (c *client) put(ctx context.Context, text []byte) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	if _, err := c.js.Publish(ctx, c.subject, text, jetstream.WithRetryAttempts(0)); err != nil {
		return fmt.Errorf("write the bucket: %w", c.explain(err, c.subject))
	}
	return nil
}

// explain returns what an error means. A refused request has no answer: the server
// says beside it which subject it refuses.
func (c *client) explain(err error, subject string) error {
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
