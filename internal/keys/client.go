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
