package outbox

import (
	"slices"
	"time"
)

// savePeriod is how long messages may be settled behind others that are not, before
// that is kept on disk.
const savePeriod = time.Second

// restore takes up which messages waited in the last run.
func (f *forwarder) restore() {
	low := f.from.Confirmed()
	f.progress = progress{low: low, high: low}
	w, err := loadWaiting(f.path)
	if err != nil {
		f.log.Error("which messages waited is not known any more: those that were sent since the first of them are sent again", "err", err)
		return
	}
	if len(w.IDs) > 0 {
		f.ids = w.IDs
	}
	high := min(w.High, f.end)
	if high <= low {
		return
	}
	var seqs []uint64
	for _, kept := range w.Queues {
		for _, seq := range kept.sequences() {
			if seq <= low || seq > high {
				continue
			}
			seqs = append(seqs, seq)
			q := f.queues.add(kept.Key, kept.Subject, f.ordered(kept.Subject), entry{seq: seq, tried: true})
			if q.hold != kept.Hold {
				q.reason, q.late = kept.Reason, true
				f.queues.move(q, kept.Hold)
			}
		}
	}
	slices.Sort(seqs)
	for _, seq := range seqs {
		f.progress.add(seq)
	}
	f.progress.high = high
	if len(seqs) == 0 {
		f.progress.low = high
	}
	f.from.read = high
	f.from.Confirm(f.progress.low)
	f.unsaved = true
	for _, why := range []hold{waiting, refused} {
		f.told[why] = f.queues.counts[why] > 0
		f.since = time.Now()
	}
	if n := f.queues.counts[refused]; n > 0 {
		f.log.Warn("messages that the NATS server refused are set aside: they are tried again with every connection", "messages", n)
	}
	if n := f.queues.counts[waiting]; n > 0 {
		f.log.Warn("messages wait that the NATS server did not store: they are tried again", "messages", n)
	}
}

// saveWaiting keeps on disk which messages wait, if others were settled behind them
// for some time, and at the end.
func (f *forwarder) saveWaiting(last bool) {
	if f.queues.pending() == 0 && len(f.ids) == 0 {
		f.unsaved = false
		return
	}
	now := time.Now()
	if f.progress.low != f.savedLow && !last {
		f.savedLow, f.saved = f.progress.low, now
		return
	}
	period := savePeriod + time.Duration(f.queues.pending())*10*time.Microsecond
	if f.unsaved && (last || now.Sub(f.saved) > period) {
		f.saved = now
		f.writeWaiting()
	}
}

func (f *forwarder) writeWaiting() {
	underWay := make(map[*queue][]uint64)
	if f.to != nil {
		for _, m := range f.to.flight {
			underWay[m.queue] = append(underWay[m.queue], m.entry.seq)
		}
	}
	err := f.queues.snapshot(f.progress.high, underWay, f.ids).save(f.path)
	f.unsaved = err != nil
	if err != nil && !f.unsavable {
		f.log.Error("after a crash, messages that went out while others waited will be sent again", "err", err)
	}
	f.unsavable = err != nil
}

// publishState lets others see how far the forwarder is.
func (f *forwarder) publishState() {
	live, _ := f.queues.sendable()
	s := &forwardState{read: f.from.read, ready: live, full: f.queues.pending() >= unsettledMax, counts: f.queues.counts, since: f.since}
	for kind := range f.unproven {
		if s.unconfirmed == "" || kind < s.unconfirmed {
			s.unconfirmed = kind
		}
	}
	for _, why := range []hold{waiting, refused} {
		q := f.why[why]
		if q == nil || q.hold != why || f.queues.queues[q.key] != q {
			q = f.queues.first(why)
			f.why[why] = q
		}
		if q != nil {
			s.reasons[why] = q.subject + ": " + q.reason
		}
	}
	if len(f.progress.slots) > 0 {
		s.oldest = f.progress.slots[0].seq
	}
	f.state.Store(s)
}
