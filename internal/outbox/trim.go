package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// trimPeriod is how often STATUS is trimmed.
	trimPeriod = time.Hour
	// trimDelay is how long after the start that begins: a start has enough to read.
	trimDelay = 10 * time.Minute
	// trimMax is how many messages are examined at a time; the next time goes on behind them.
	trimMax = 200_000
	// trimBatch is how many of them are examined before those that are too old are removed.
	trimBatch = 500
	// trimPause is the time between two batches: trimming is at nobody's cost.
	trimPause = 20 * time.Millisecond
)

// keepTrimming removes old messages from STATUS, again and again until ctx ends.
func (o *Outbox) keepTrimming(ctx context.Context) {
	for wait := trimDelay; ; wait = trimPeriod {
		pause(ctx, wait)
		if ctx.Err() != nil {
			return
		}
		removed, err := o.trimStatus(ctx, time.Now().Add(-o.cfg.StatusLimit))
		switch {
		case err != nil && ctx.Err() == nil:
			o.log.Error("old status changes cannot be removed: it is tried again", "every", trimPeriod, "err", err)
		case removed > 0:
			o.log.Info("status changes that are older than <status_limit> are removed", "messages", removed)
		}
	}
}

// trimStatus removes the STATUS messages from before a time, but for those that the remote, or a reader of [ReaderConfig].Keep, has not confirmed, and the last
// one of each subject: an agent's last status is what the next start restores. It returns how many it removed.
func (o *Outbox) trimStatus(ctx context.Context, before time.Time) (removed uint64, err error) {
	info, err := o.streams[Status].Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("trim STATUS: %w", err)
	}
	end := info.State.LastSeq
	if f := o.forwarders[Status]; f != nil {
		end = min(end, f.reader.position.sequence())
	}
	if r := o.keeping.Load(); r != nil {
		end = min(end, r.Confirmed())
	}
	next := max(o.trimmed+1, info.State.FirstSeq)
	for examined := 0; examined < trimMax; {
		batch, err := o.examineOldStatus(ctx, next, end, before)
		if err != nil {
			return removed, fmt.Errorf("trim STATUS: %w", err)
		}
		if batch.examined == 0 {
			next = 1 // from the beginning: what was an agent's last status may be none any more
			break
		}
		if err := o.removeStatus(ctx, batch.old); err != nil {
			return removed, fmt.Errorf("trim STATUS: %w", err)
		}
		removed += uint64(len(batch.old))
		examined += batch.examined
		next = batch.last + 1
		pause(ctx, trimPause)
	}
	o.trimmed = next - 1
	return removed, nil
}

// oldStatus is what was examined of STATUS.
type oldStatus struct {
	examined int
	last     uint64   // of the messages examined
	old      []uint64 // those that are to be removed
}

// examineOldStatus examines the messages from one sequence to another that are from before a time, one batch at most.
func (o *Outbox) examineOldStatus(ctx context.Context, from, to uint64, before time.Time) (b oldStatus, err error) {
	lastOf := make(map[string]uint64)
	for next := from; b.examined < trimBatch; {
		m, err := o.streams[Status].GetMsg(ctx, next, jetstream.WithGetMsgSubject(">"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return b, nil
		}
		if err != nil {
			return b, err
		}
		if m.Sequence > to || !m.Time.Before(before) {
			return b, nil
		}
		last, known := lastOf[m.Subject]
		if !known {
			newest, err := o.streams[Status].GetLastMsgForSubject(ctx, m.Subject)
			if err != nil {
				return b, err
			}
			last = newest.Sequence
			lastOf[m.Subject] = last
		}
		if m.Sequence < last {
			b.old = append(b.old, m.Sequence)
		}
		b.examined++
		b.last = m.Sequence
		next = m.Sequence + 1
	}
	return b, nil
}

// removeStatus removes messages. How many are missing is on disk before they are, so that an interruption is not taken for
// a loss at the next start.
func (o *Outbox) removeStatus(ctx context.Context, sequences []uint64) error {
	if len(sequences) == 0 {
		return nil
	}
	info, err := o.streams[Status].Info(ctx)
	if err != nil {
		return err
	}
	missing := info.State.LastSeq - info.State.Msgs + uint64(len(sequences))
	if err := cursorFor(o.cfg.Dir, statusGapsFile).saveSequence(missing); err != nil {
		return err
	}
	for _, seq := range sequences {
		if err := o.streams[Status].DeleteMsg(ctx, seq); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return err
		}
	}
	return nil
}
