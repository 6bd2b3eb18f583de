package kv

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/jsdomain"
)

// The reasons why a bucket cannot be used, beside those of the server.
var (
	ErrNoJetStream = errors.New("no JetStream")
	ErrNoBucket    = errors.New("no bucket")
	ErrChanged     = errors.New("the value has changed meanwhile")
)

// Bucket is a bucket on one connection. It is used as the stream that it is: so a bucket
// can be written with few rights (see docs/messages.md), and a deleted key is seen with
// its revision.
type Bucket struct {
	BucketConfig
	js     jetstream.JetStream
	stream jetstream.Stream
}

// BucketConfig is what a bucket is opened with.
type BucketConfig struct {
	Stream  jetstream.StreamConfig     // of [StreamConfig]: what to make if it is not there
	Domain  jsdomain.Domain            // that has it; "" for the server of the connection
	Timeout time.Duration              // for an answer
	Refusal func(subject string) error // why the server refused a message to a subject, if it did
}

// Open opens a bucket, and makes it if there is none.
func Open(ctx context.Context, nc *nats.Conn, cfg BucketConfig) (*Bucket, error) {
	b, err := Find(ctx, nc, cfg)
	if errors.Is(err, ErrNoBucket) {
		if failed := b.create(ctx); failed != nil {
			return nil, fmt.Errorf("%w: %w", err, failed)
		}
		err = b.Reopen(ctx)
	}
	return b, err
}

// Find opens a bucket that is there.
func Find(ctx context.Context, nc *nats.Conn, cfg BucketConfig) (*Bucket, error) {
	js, err := cfg.Domain.NewClient(nc)
	if err != nil {
		return nil, fmt.Errorf("set up the bucket: %w", err)
	}
	b := &Bucket{BucketConfig: cfg, js: js}
	return b, b.Reopen(ctx)
}

// TryPut tries whether a key can be written, and writes nothing: it asks for that if the key's revision is one that it
// cannot be.
func (b *Bucket) TryPut(ctx context.Context, key string) error {
	_, err := b.Put(ctx, key, new(nats.Msg), jetstream.WithExpectLastSequencePerSubject(math.MaxInt64))
	if errors.Is(err, ErrChanged) {
		return nil
	}
	return err
}

// Reopen reads the present state of the bucket.
func (b *Bucket) Reopen(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, b.Timeout)
	defer cancel()
	s, err := b.js.Stream(ctx, b.Stream.Name)
	if errors.Is(err, nats.ErrNoResponders) {
		return b.noJetStream()
	}
	if err != nil {
		return b.explainError("find the bucket", err, "$JS.API.STREAM.INFO."+b.Stream.Name)
	}
	b.stream = s
	return nil
}

// Info returns the bucket's stream as it was when it was opened last.
func (b *Bucket) Info() *jetstream.StreamInfo { return b.stream.CachedInfo() }

// endMaking is how long a bucket may still be made after it is no longer wanted: an
// embedded server that stops meanwhile would leave it half made.
const endMaking = time.Second

func (b *Bucket) create(parent context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(parent), b.Timeout)
	defer cancel()
	defer context.AfterFunc(parent, func() { time.AfterFunc(endMaking, cancel) })()
	_, err := b.js.CreateStream(ctx, b.Stream)
	if err != nil && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another node was quicker
		return b.explainError("make the bucket", err, "$JS.API.STREAM.CREATE."+b.Stream.Name)
	}
	return nil
}

// Protect forbids roll-ups in a bucket that somebody else made. A server answers nothing to
// who may not.
func (b *Bucket) Protect(ctx context.Context) error {
	cfg := b.Info().Config
	if !AllowsWipe(&cfg) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, b.Timeout)
	defer cancel()
	if err := ProtectStream(ctx, b.js, cfg); err != nil {
		return b.explainError("protect the bucket", err, "$JS.API.STREAM.UPDATE."+b.Stream.Name)
	}
	return nil
}

// Get returns the last message of a key; nil if there never was one. That of a deleted key
// has no data.
func (b *Bucket) Get(ctx context.Context, key string) (*jetstream.RawStreamMsg, error) {
	ctx, cancel := context.WithTimeout(ctx, b.Timeout)
	defer cancel()
	subject := b.subjectOf(key)
	m, err := b.stream.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, b.explainError("read key "+key, err, "$JS.API.DIRECT.GET."+b.Stream.Name+"."+subject)
	}
	return m, nil
}

// Put writes a key, and returns its revision. With [jetstream.WithExpectLastSequencePerSubject]
// the error is [ErrChanged] if its revision is another one.
func (b *Bucket) Put(ctx context.Context, key string, m *nats.Msg, opts ...jetstream.PublishOpt) (revision uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, b.Timeout)
	defer cancel()
	m.Subject = b.Domain.Subject(b.subjectOf(key))
	ack, err := b.js.PublishMsg(ctx, m, append(opts, jetstream.WithRetryAttempts(0))...)
	if err != nil {
		return 0, b.explainPut(key, m.Subject, err)
	}
	return ack.Sequence, nil
}

// explainPut returns what the error of a write means.
func (b *Bucket) explainPut(key, subject string, err error) error {
	if api, ok := errors.AsType[*jetstream.APIError](err); ok &&
		(api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant) {
		return ErrChanged
	}
	return b.explainError("write key "+key, err, subject)
}

func (b *Bucket) subjectOf(key string) string { return "$KV." + b.Stream.Name[len("KV_"):] + "." + key }

// noJetStream returns an error that names the domain, if there is one.
func (b *Bucket) noJetStream() error {
	if b.Domain == "" {
		return ErrNoJetStream
	}
	return fmt.Errorf("%w of the domain %s is there", ErrNoJetStream, b.Domain)
}

// explainError returns what an error means. A refused request has no answer: the server
// reports the refused subject apart from it.
func (b *Bucket) explainError(what string, err error, subject string) error {
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return ErrNoBucket
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return b.noJetStream()
	}
	if refused := b.Refusal(b.Domain.Subject(subject)); refused != nil {
		err = refused
	}
	return fmt.Errorf("%s: %w", what, err)
}
