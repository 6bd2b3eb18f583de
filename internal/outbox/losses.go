package outbox

import (
	"context"
	"time"
)

// lossPeriod is the time between two words about losses.
const lossPeriod = time.Minute

// losses counts messages that went from the stream before they could be sent, and
// tells of them now and then.
type losses struct {
	seen   uint64 // up to here, each was read or is counted as lost
	unsaid uint64
	said   time.Time
}

// count looks for sequences that are missing in what was read. Only the stream's
// limit removes any. STATUS has none: what is missing there was damaged, which Open
// has told.
func (f *forwarder) count(batch []Stored) {
	if f.class != Telemetry {
		return
	}
	for _, m := range batch {
		f.lose(m.Seq)
		f.losses.seen = m.Seq
	}
	f.tellLosses()
}

// look counts what the stream dropped since, while nothing can be sent and so
// nothing is read: an outage may last, and who watches shall not learn only after
// it what it cost.
func (f *forwarder) look(ctx context.Context) {
	if f.class != Telemetry || f.from.tail.first() <= f.losses.seen+1 { // nothing is dropped, or what comes next is in memory
		return
	}
	info, err := f.stream.Info(ctx)
	if err != nil { // it is looked at again
		return
	}
	f.lose(info.State.FirstSeq)
	f.dropBefore(info.State.FirstSeq)
	f.tellLosses()
}

// lose takes those before first, the next that is there, for lost.
func (f *forwarder) lose(first uint64) {
	l := &f.losses
	if first <= l.seen+1 {
		return
	}
	n := first - l.seen - 1
	f.dropped.Add(n)
	l.unsaid += n
	l.seen = first - 1
}

func (f *forwarder) tellLosses() {
	l := &f.losses
	if l.unsaid == 0 || time.Since(l.said) <= lossPeriod {
		return
	}
	f.log.Error("messages were dropped before they could be forwarded: the stream is as large as it may be (<pulse><telemetry_limit>)",
		"dropped", l.unsaid, "in_all", f.dropped.Load())
	l.unsaid, l.said = 0, time.Now()
}
