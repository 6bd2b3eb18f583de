package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ReasonHeader of a dead letter says why the remote did not take it.
const ReasonHeader = "Pulse-Refused"

const (
	// deadPrefix is what the subjects of dead letters begin with. No client's do.
	deadPrefix = "_DEAD."
	// deadTelemetryMax is how many bytes of dead telemetry are kept, the newest.
	deadTelemetryMax = 64 << 20
)

// deadLetters keeps the messages of a class that the remote refuses, for good or
// until somebody changes its settings, so that the others can go on. It is a local
// stream: DEADLETTER_STATUS, from which nothing is dropped, or DEADLETTER_TELEMETRY.
//
// STATUS is kept in order: while a subject's messages are here, those that come
// later join them, and all go out together. It is the forwarder's.
type deadLetters struct {
	class  Class
	js     jetstream.JetStream
	stream jetstream.Stream
	disk   *syncer // nil for TELEMETRY
	log    *slog.Logger

	held    map[string]int // messages here by subject; STATUS only
	count   atomic.Int64
	dropped atomic.Uint64          // of TELEMETRY, since it is bounded
	why     atomic.Pointer[string] // the first was refused; nil while there is none
	told    bool                   // that there are some
	tried   time.Time
	triedOn *sender
}

func openDeadLetters(ctx context.Context, o *Outbox, c Class) (*deadLetters, error) {
	cfg := jetstream.StreamConfig{Name: "DEADLETTER_" + c.String(), Subjects: []string{deadPrefix + c.String() + ".>"},
		Storage: jetstream.FileStorage, Duplicates: statusDuplicates}
	if c == Telemetry {
		cfg.MaxBytes, cfg.Discard = deadTelemetryMax, jetstream.DiscardOld
	}
	stream, err := o.openStream(ctx, cfg)
	if err != nil {
		return nil, err
	}
	d := &deadLetters{class: c, js: o.js, stream: stream, log: o.log.With("stream", c.String()), held: make(map[string]int)}
	if c == Status {
		d.disk = newSyncer(o.cfg.Dir, cfg.Name, false)
		if err := d.disk.syncStream(o.cfg.Dir); err != nil {
			return nil, err
		}
	}
	return d, d.load(ctx)
}

// load counts what is here from an earlier life.
func (d *deadLetters) load(ctx context.Context) error {
	info, err := d.stream.Info(ctx, jetstream.WithSubjectFilter(deadPrefix+">"))
	if err != nil {
		return fmt.Errorf("read stream %s: %w", d.stream.CachedInfo().Config.Name, err)
	}
	d.count.Store(int64(info.State.Msgs))
	if d.class == Status {
		for subject, n := range info.State.Subjects {
			d.held[d.original(subject)] = int(n)
		}
	}
	if n := d.count.Load(); n > 0 {
		d.told = true
		if first, err := d.stream.GetMsg(ctx, 1, jetstream.WithGetMsgSubject(deadPrefix+">")); err == nil {
			d.explain(d.original(first.Subject), first.Header.Get(ReasonHeader))
		}
		d.log.Warn("messages that the NATS server refused are set aside: they are tried again with every connection", "messages", n)
	}
	return nil
}

func (d *deadLetters) original(subject string) string {
	return strings.TrimPrefix(subject, deadPrefix+d.class.String()+".")
}

// holds says whether messages of a subject are here that have to go first.
func (d *deadLetters) holds(subject string) bool { return d.held[subject] > 0 }

// add sets messages aside, on the disk itself if they are STATUS.
func (d *deadLetters) add(ctx context.Context, refused []deadLetter) error {
	for _, r := range refused {
		header := maps.Clone(r.Header)
		if header == nil {
			header = make(nats.Header)
		}
		header[ReasonHeader] = []string{r.reason.Error()}
		m := &nats.Msg{Subject: deadPrefix + d.class.String() + "." + r.Subject, Header: header, Data: r.Data}
		ack, err := d.js.PublishMsg(ctx, m)
		if err != nil {
			return fmt.Errorf("set a refused message aside: %w", err)
		}
		if !ack.Duplicate { // it was here before a crash
			d.note(r.Subject, 1)
		}
		d.tell(r)
	}
	if d.disk == nil {
		return d.recount(ctx)
	}
	return d.disk.sync()
}

// recount takes what deadTelemetryMax had no room for any more for lost.
func (d *deadLetters) recount(ctx context.Context) error {
	info, err := d.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("count the messages that were set aside: %w", err)
	}
	if gone := d.count.Load() - int64(info.State.Msgs); gone > 0 {
		d.count.Add(-gone)
		d.dropped.Add(uint64(gone))
	}
	return nil
}

func (d *deadLetters) explain(subject, reason string) {
	text := subject + ": " + reason
	d.why.Store(&text)
}

// reason is why the first was refused; "" while there is none.
func (d *deadLetters) reason() string {
	if why := d.why.Load(); why != nil {
		return *why
	}
	return ""
}

// tell logs the first, until all are gone.
func (d *deadLetters) tell(r deadLetter) {
	level := slog.LevelDebug
	if !d.told {
		level = slog.LevelError
		d.explain(r.Subject, r.reason.Error())
	}
	d.told = true
	d.log.Log(context.Background(), level, "the NATS server refuses a message: it is set aside, and the others go on",
		"subject", r.Subject, "set_aside", d.count.Load(), "err", r.reason)
}

func (d *deadLetters) note(subject string, n int) {
	d.count.Add(int64(n))
	if d.class != Status {
		return
	}
	if d.held[subject] += n; d.held[subject] <= 0 {
		delete(d.held, subject)
	}
}

// retry sends what is here by means of deliver, in order, and removes what the remote
// takes now. Deliver returns how many of a batch are settled, and which of these were refused again.
func (d *deadLetters) retry(ctx context.Context, deliver func([]Stored) (outcome, error)) error {
	gone, next := 0, uint64(1)
	var still *deadLetter
	for {
		batch, err := d.read(ctx, next)
		if err != nil {
			return err
		}
		if len(batch) == 0 {
			break
		}
		done, err := deliver(batch)
		if still == nil && len(done.refused) > 0 {
			still = &done.refused[0]
		}
		n, rmErr := d.remove(ctx, batch[:done.settled], done.refused)
		gone += n
		if err := errors.Join(err, rmErr); err != nil {
			return err
		}
		if done.settled > 0 {
			next = batch[done.settled-1].Seq + 1
		}
	}
	if gone > 0 {
		d.log.Info("messages that had been set aside went out", "messages", gone, "set_aside", d.count.Load())
	}
	if d.count.Load() == 0 {
		d.told = false
		d.why.Store(nil)
	} else if still != nil {
		d.explain(still.Subject, still.reason.Error())
	}
	return nil
}

// remove removes what was delivered.
func (d *deadLetters) remove(ctx context.Context, settled []Stored, refused []deadLetter) (gone int, err error) {
	again := make(map[uint64]bool, len(refused))
	for _, r := range refused {
		again[r.Seq] = true
	}
	for _, m := range settled {
		if again[m.Seq] {
			continue
		}
		if err := d.stream.DeleteMsg(ctx, m.Seq); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return gone, fmt.Errorf("remove a message that had been set aside: %w", err)
		}
		d.note(m.Subject, -1)
		gone++
	}
	return gone, nil
}

// read returns a batch from a sequence on, as they were before they were set aside.
func (d *deadLetters) read(ctx context.Context, seq uint64) (batch []Stored, err error) {
	for len(batch) < batchMax {
		m, err := d.stream.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(deadPrefix+">"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read messages that were set aside: %w", err)
		}
		delete(m.Header, ReasonHeader)
		batch = append(batch, Stored{Seq: m.Sequence, Subject: d.original(m.Subject), Header: m.Header, Data: m.Data})
		seq = m.Sequence + 1
	}
	return batch, nil
}
