package outbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/natsserver"
)

// Stored is a message of a local stream.
type Stored struct {
	Seq     uint64 // in its stream, rising, not without gaps
	Subject string
	Header  nats.Header
	Data    []byte
	Body    any // of the [Message]; nil for one that is read from the disk
}

// Reader reads a local stream in order, from a position that is kept on disk.
// Next, Rewind and Close are for one caller at a time; Confirm may be called
// beside them.
type Reader struct {
	nc      *nats.Conn // to the local server
	stream  jetstream.Stream
	recent  *recentCache  // nil for none: the stream is read
	caches  *recentCaches // that has it
	cfg     ReaderConfig
	silence time.Duration
	log     *slog.Logger

	position *position
	end      *position // of the stream; nil for one that is not STATUS
	read     uint64    // the last message given out; the next comes after it

	msgs   jetstream.MessagesContext // nil before the first read and after a failed one
	number uint64                    // of the last message of msgs
}

// ReaderConfig configures a [Reader].
type ReaderConfig struct {
	Name    string // one of the names that are kept from the embedded server's clients, such as "roster"
	Class   Class
	Filter  string // only messages whose subject matches; "" for all
	Current bool   // at first, without a position on disk, begin with the last message of each subject instead of the first
	FromEnd bool   // at first, without a position on disk, begin behind the last message
	Recent  bool   // what is published while it keeps up is read from memory
	Keep    bool   // what it has not confirmed is not removed from STATUS, however old
}

// consumerOf returns the name of a reader's consumer.
func consumerOf(reader string) string { return "pulse-" + reader }

// Reader returns a reader. There is at most one at a time of a name and class.
func (o *Outbox) Reader(ctx context.Context, cfg ReaderConfig) (*Reader, error) {
	if !slices.Contains(natsserver.OwnConsumers, consumerOf(cfg.Name)) {
		return nil, fmt.Errorf("read %s: %q is not among the readers' names", cfg.Class, cfg.Name)
	}
	file := cfg.Class.String() + "." + cfg.Name + ".cursor"
	r, err := newReader(ctx, o, o.streams[cfg.Class], cfg, cursorFor(o.cfg.Dir, file))
	if err != nil {
		return nil, err
	}
	if cfg.Class == Status {
		r.end = o.statusEnd
	}
	if cfg.Keep {
		o.keeping.Store(r)
	}
	return r, nil
}

// newReader returns a reader that begins where the last run stopped. After a power cut,
// the stream may end before the position: it then steps back to the stream's end, or the
// messages that get those sequences next would not be read.
func newReader(ctx context.Context, o *Outbox, stream jetstream.Stream, cfg ReaderConfig, c cursor) (*Reader, error) {
	r := &Reader{nc: o.nc, stream: stream, cfg: cfg, silence: o.timing.silence,
		log: o.log.With("stream", stream.CachedInfo().Config.Name, "reader", cfg.Name)}
	seq, err := c.loadSequence()
	if errors.Is(err, errDamaged) {
		// Behind it, messages may never be read; before it, some are read twice.
		r.log.Error("the reader's position was damaged: it begins anew, and what was read before is read again", "err", err)
	} else if err != nil {
		return nil, err
	}
	if cfg.Recent {
		r.recent, r.caches = newRecentCache(recentCacheMax, 0), &o.recent[cfg.Class]
		r.caches.attach(r.recent)
	}
	info, err := stream.Info(ctx)
	if err != nil {
		r.detachCache()
		return nil, fmt.Errorf("read local stream: %w", err)
	}
	if r.recent != nil {
		r.recent.raiseEnd(info.State.LastSeq)
	}
	if last := info.State.LastSeq; seq > last {
		r.log.Warn("the reader's position is beyond the stream's end: stepping back", "position", seq, "end", last)
		seq = last
		if err := c.saveSequence(seq); err != nil {
			r.detachCache()
			return nil, err
		}
	}
	if cfg.FromEnd && !c.exists() {
		seq = info.State.LastSeq
		_ = c.saveSequence(seq) // else with the next position
	}
	r.position = newPosition(c, seq, r.log)
	r.read = seq
	return r, nil
}

// detachCache ends that what is published is kept in memory for the reader.
func (r *Reader) detachCache() {
	if r.recent != nil {
		r.caches.detach(r.recent)
	}
}

// Next waits for messages and returns what there is, at most limit. What fails in
// between, it tries again: only the end of ctx is an error.
func (r *Reader) Next(ctx context.Context, limit int) ([]Stored, error) {
	for {
		batch, err := r.waitForRecent(ctx, limit)
		if len(batch) == 0 && err == nil {
			batch, err = r.fetchBatch(ctx, limit)
		}
		batch, others := r.selectMatching(batch)
		switch {
		case len(batch) > 0:
			return batch, nil
		case others && err == nil:
			continue
		case ctx.Err() != nil:
			r.stopReading()
			return nil, ctx.Err()
		case err != nil:
			r.stopReading()
			r.log.Error("cannot read the local stream: trying again", "err", err)
			pause(ctx, time.Second)
		}
	}
}

// selectMatching returns those of a batch that match the filter, and whether there were others.
// The stream has none where it is read with the filter.
func (r *Reader) selectMatching(batch []Stored) (matching []Stored, others bool) {
	if r.recent == nil || r.cfg.Filter == "" {
		return batch, false
	}
	n := len(batch)
	matching = slices.DeleteFunc(batch, func(m Stored) bool { return !matchesPattern(r.cfg.Filter, m.Subject) })
	return matching, len(matching) < n
}

// Poll returns what there is, at most limit. When there is nothing it returns a channel
// that is closed when there is more; or nil if the stream has not what should be there.
func (r *Reader) Poll(ctx context.Context, limit int) (batch []Stored, more <-chan struct{}, err error) {
	batch, end, more := r.recent.messagesAfter(r.read, limit)
	if n := len(batch); n > 0 {
		r.stopReading()
		r.read = batch[n-1].Seq
		return batch, nil, nil
	}
	if r.read >= end {
		return nil, more, nil
	}
	if batch, err = r.fetchBatch(ctx, limit); err != nil {
		r.stopReading()
	}
	return batch, nil, err
}

// waitForRecent returns what is in the cache. It waits while there is nothing after what
// was read, and returns nothing when the stream has to be read.
func (r *Reader) waitForRecent(ctx context.Context, limit int) ([]Stored, error) {
	for r.recent != nil {
		batch, end, more := r.recent.messagesAfter(r.read, limit)
		if n := len(batch); n > 0 {
			r.stopReading()
			r.read = batch[n-1].Seq
			return batch, nil
		}
		if r.read < end {
			return nil, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return nil, nil
}

// fetchBatch returns what there is, up to limit; nothing after a long silence.
func (r *Reader) fetchBatch(ctx context.Context, limit int) ([]Stored, error) {
	if err := r.startReading(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.silence)
	defer cancel()
	var batch []Stored
	for more := true; more && len(batch) < limit; {
		m, meta, err := nextInOrder(ctx, r.msgs, r.number+1)
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
			r.stopReading() // and read again, in case any were lost with a connection that ended
			break
		}
		if errors.Is(err, errSkipped) && len(batch) > 0 {
			r.stopReading() // read on behind what is in order
			break
		}
		if err != nil {
			return nil, err // with what is in batch to be read again
		}
		r.number++
		batch = append(batch, Stored{Seq: meta.Sequence.Stream, Subject: m.Subject(), Header: forwardHeader(m.Headers()), Data: m.Data()})
		more = meta.NumPending > 0
	}
	if n := len(batch); n > 0 {
		r.read = batch[n-1].Seq
	}
	return batch, nil
}

func (r *Reader) startReading(ctx context.Context) error {
	if r.msgs != nil {
		return nil
	}
	cfg := jetstream.ConsumerConfig{
		Name:          consumerOf(r.cfg.Name),
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:   r.read + 1,
	}
	if r.recent == nil {
		cfg.FilterSubject = r.cfg.Filter
	} // else it reads to the end, to go on in memory
	if r.cfg.Current && r.read == 0 {
		cfg.DeliverPolicy, cfg.OptStartSeq, cfg.FilterSubject = jetstream.DeliverLastPerSubjectPolicy, 0, cmp.Or(cfg.FilterSubject, ">")
	}
	cons, err := createOwnConsumer(ctx, r.nc, r.stream, cfg)
	if err != nil {
		return err
	}
	r.number = 0
	r.msgs, err = cons.Messages(pullLimits)
	return err
}

func (r *Reader) stopReading() {
	if r.msgs != nil {
		r.msgs.Stop()
		r.msgs = nil
	}
}

// Confirm records that what was read up to seq is settled. A later start reads on from
// there; after a crash, from what was confirmed about 200 ms before it.
func (r *Reader) Confirm(seq uint64) { r.position.advanceTo(seq) }

// Confirmed returns the last that was confirmed; 0 before any.
func (r *Reader) Confirmed() uint64 { return r.position.sequence() }

// CountWaiting returns how many messages of STATUS were published and not confirmed.
func (r *Reader) CountWaiting() uint64 {
	if r.end == nil {
		return 0
	}
	end := r.end.sequence()
	return end - min(r.position.sequence(), end)
}

// Rewind makes Next continue after the last that was confirmed.
func (r *Reader) Rewind() {
	r.stopReading()
	r.read = r.position.sequence()
}

// StartOver makes Next begin as if nothing had ever been read, also after a crash. Confirm
// may not be called meanwhile. After an error, it has to be called again.
func (r *Reader) StartOver() error {
	r.stopReading()
	if err := r.position.resetToStart(); err != nil {
		return err
	}
	r.read = 0
	return nil
}

// Close saves the position. It has to be called before the outbox's.
func (r *Reader) Close() error {
	r.stopReading()
	r.detachCache()
	return r.position.close()
}
