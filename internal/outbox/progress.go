package outbox

import (
	"slices"
	"sort"
	"time"
)

// progress holds which messages of a stream are settled: all up to low, and
// those after it that were settled out of order.
type progress struct {
	low   uint64
	high  uint64 // the last that was read
	slots []slot // what was read after low, rising
	live  int    // slots that are not settled
}

type slot struct {
	seq  uint64
	done bool
}

// addSequence adds a message that was read. They come in order.
func (p *progress) addSequence(seq uint64) {
	if len(p.slots) == 0 {
		p.low = seq - 1 // what is missing in between is gone
	}
	p.slots = append(p.slots, slot{seq: seq})
	p.high = seq
	p.live++
}

// settleSequence marks a message as settled.
func (p *progress) settleSequence(seq uint64) {
	i := sort.Search(len(p.slots), func(i int) bool { return p.slots[i].seq >= seq })
	if i == len(p.slots) || p.slots[i].seq != seq || p.slots[i].done {
		return
	}
	p.slots[i].done = true
	p.live--
	if i > 0 {
		if len(p.slots) > 2*p.live+1024 {
			p.removeSettledSlots()
		}
		return
	}
	n := 0
	for n < len(p.slots) && p.slots[n].done {
		n++
	}
	if n == len(p.slots) {
		p.low, p.slots = p.high, p.slots[:0]
		return
	}
	p.low, p.slots = p.slots[n].seq-1, p.slots[n:]
}

// removeSettledSlots removes the slots that were settled out of order.
func (p *progress) removeSettledSlots() {
	rest := make([]slot, 0, p.live)
	for _, s := range p.slots {
		if !s.done {
			rest = append(rest, s)
		}
	}
	p.slots = rest
}

// hasSettled reports whether all up to a sequence are settled.
func (p *progress) hasSettled(seq uint64) bool {
	return len(p.slots) == 0 || p.slots[0].seq > seq
}

// settledOutOfOrder reports whether messages after low are settled.
func (p *progress) settledOutOfOrder() bool { return p.high-p.low > uint64(p.live) }

// savePeriod is how long messages may be settled after others that are not, before
// that is written to disk.
const savePeriod = time.Second

// restoreWaiting reads which messages waited in the last run.
func (f *forwarder) restoreWaiting() {
	low := f.reader.Confirmed()
	f.progress = progress{low: low, high: low}
	w, err := loadWaitingFile(f.path)
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
		for _, seq := range kept.listSequences() {
			if seq <= low || seq > high {
				continue
			}
			seqs = append(seqs, seq)
			q := f.queues.addMessage(kept.Key, kept.Subject, f.keepsOrder(kept.Subject), entry{seq: seq, tried: true})
			if q.hold != kept.Hold {
				q.reason, q.late = kept.Reason, true
				f.queues.moveQueue(q, kept.Hold)
			}
		}
	}
	f.queues.epochs = slices.DeleteFunc(w.Epochs, func(seq uint64) bool { return seq > high })
	slices.Sort(seqs)
	for _, seq := range seqs {
		f.progress.addSequence(seq)
	}
	f.progress.high = high
	if len(seqs) == 0 {
		f.progress.low = high
	}
	f.reader.read = high
	f.reader.Confirm(f.progress.low)
	f.unsaved = true
	for _, why := range []hold{waiting, refused} {
		f.logged[why] = f.queues.counts[why] > 0
		f.since = time.Now()
	}
	if n := f.queues.counts[refused]; n > 0 {
		f.log.Warn("messages that the NATS server refused are set aside: they are tried again with every connection", "messages", n)
	}
	if n := f.queues.counts[waiting]; n > 0 {
		f.log.Warn("messages wait that the NATS server did not store: they are tried again", "messages", n)
	}
}

// saveWaiting writes to disk which messages wait, if others were settled after them
// for some time, and at the end.
func (f *forwarder) saveWaiting(last bool) {
	if f.queues.countPending() == 0 && len(f.ids) == 0 {
		f.unsaved = false
		return
	}
	now := time.Now()
	if f.progress.low != f.savedLow && !last {
		f.savedLow, f.saved = f.progress.low, now
		return
	}
	period := savePeriod + time.Duration(f.queues.countPending())*10*time.Microsecond
	if f.unsaved && (last || now.Sub(f.saved) > period) {
		f.saved = now
		f.writeWaitingFile()
	}
}

func (f *forwarder) writeWaitingFile() {
	underWay := make(map[*queue][]uint64)
	if f.sender != nil {
		for _, m := range f.sender.flight {
			underWay[m.queue] = append(underWay[m.queue], m.entry.seq)
		}
	}
	err := f.queues.snapshotQueues(f.progress.high, underWay, f.ids).writeTo(f.path)
	f.unsaved = err != nil
	if err != nil && !f.unsavable {
		f.log.Error("after a crash, messages that went out while others waited will be sent again", "err", err)
	}
	f.unsavable = err != nil
}

// publishState stores a snapshot for other goroutines.
func (f *forwarder) publishState() {
	live, _ := f.queues.countSendable()
	s := &forwardState{read: f.reader.read, ready: live, full: f.queues.countPending() >= unsettledMax, counts: f.queues.counts, since: f.since}
	for kind := range f.unproven {
		if s.unconfirmed == "" || kind < s.unconfirmed {
			s.unconfirmed = kind
		}
	}
	for _, why := range []hold{waiting, refused} {
		q := f.firstHeld[why]
		if q == nil || q.hold != why || f.queues.queues[q.key] != q {
			q = f.queues.firstHeldQueue(why)
			f.firstHeld[why] = q
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
