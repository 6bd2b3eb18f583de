package kv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Writer writes keys of a bucket, many at a time: their writes are under way together.
type Writer struct {
	bucket *Bucket
	nc     *nats.Conn
	inbox  string
	sub    *nats.Subscription

	mu      sync.Mutex
	number  uint64 // of the last write
	pending map[uint64]*PendingPut
}

// NewWriter returns a writer of a bucket on its connection. The caller closes it.
func (b *Bucket) NewWriter() (*Writer, error) {
	nc := b.js.Conn()
	w := &Writer{bucket: b, nc: nc, inbox: nc.NewInbox(), pending: make(map[uint64]*PendingPut)}
	var err error
	if w.sub, err = nc.Subscribe(w.inbox+".*", w.handleAnswer); err != nil {
		return nil, fmt.Errorf("set up writing to the bucket: %w", err)
	}
	return w, nil
}

// Close ends the writer. What is under way gets no answer any more.
func (w *Writer) Close() { _ = w.sub.Unsubscribe() }

// PendingPut is a write that is under way.
type PendingPut struct {
	writer       *Writer
	number       uint64
	key, subject string
	done         chan struct{} // closed when revision and err are set
	revision     uint64
	err          error
}

// StartPut writes a key in the place of a revision, 0 for a key that never was, and does not wait
// for the answer. The caller has no more than some hundreds under way.
func (w *Writer) StartPut(key string, m *nats.Msg, before uint64) (*PendingPut, error) {
	p := &PendingPut{writer: w, key: key, subject: w.bucket.Domain.Subject(w.bucket.subjectOf(key)), done: make(chan struct{})}
	w.mu.Lock()
	w.number++
	p.number = w.number
	w.pending[p.number] = p
	w.mu.Unlock()
	if m.Header == nil {
		m.Header = make(nats.Header, 1)
	}
	m.Header[jetstream.ExpectedLastSubjSeqHeader] = []string{strconv.FormatUint(before, 10)}
	m.Subject, m.Reply = p.subject, w.inbox+"."+strconv.FormatUint(p.number, 36)
	if err := w.nc.PublishMsg(m); err != nil {
		w.takePending(p.number)
		return nil, w.bucket.explainPut(key, p.subject, err)
	}
	return p, nil
}

// takePending removes a write from those under way; nil for none.
func (w *Writer) takePending(number uint64) *PendingPut {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.pending[number]
	delete(w.pending, number)
	return p
}

// errBadAck is returned for an answer that is no acknowledgement.
var errBadAck = errors.New("the NATS server answered with something that is no acknowledgement")

func (w *Writer) handleAnswer(m *nats.Msg) {
	number, err := strconv.ParseUint(strings.TrimPrefix(m.Subject, w.inbox+"."), 36, 64)
	if err != nil {
		return
	}
	p := w.takePending(number)
	if p == nil {
		return
	}
	p.revision, p.err = parseAck(m)
	close(p.done)
}

// parseAck returns the revision that a write got, or why it was not stored.
func parseAck(m *nats.Msg) (revision uint64, err error) {
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		return 0, jetstream.ErrNoStreamResponse
	}
	var ack struct {
		Sequence uint64              `json:"seq"`
		Error    *jetstream.APIError `json:"error"`
	}
	switch err := json.Unmarshal(m.Data, &ack); {
	case err != nil:
		return 0, fmt.Errorf("%w: %.40q", errBadAck, m.Data)
	case ack.Error != nil:
		return 0, ack.Error
	case ack.Sequence == 0:
		return 0, fmt.Errorf("%w: %.40q", errBadAck, m.Data)
	}
	return ack.Sequence, nil
}

// Wait waits for the server's answer, and returns what [Bucket.Put] returns. Of many writes that
// are under way, each has the bucket's timeout from the call on.
func (p *PendingPut) Wait(ctx context.Context) (revision uint64, err error) {
	select {
	case <-p.done: // as most are when the first one is
		err = p.err
	default:
		err = p.waitForAnswer(ctx)
	}
	if err != nil {
		return 0, p.writer.bucket.explainPut(p.key, p.subject, err)
	}
	return p.revision, nil
}

func (p *PendingPut) waitForAnswer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.writer.bucket.Timeout)
	defer cancel()
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		p.writer.takePending(p.number) // the answer may never come
		return ctx.Err()
	}
}
