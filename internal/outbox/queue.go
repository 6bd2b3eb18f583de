package outbox

import (
	"cmp"
	"slices"
	"sort"
)

// hold is why the messages of a queue are not sent.
type hold uint8

const (
	free    hold = iota
	waiting      // the remote does not store them at present: one is tried every now and then
	refused      // the remote refuses them until its settings are changed

	holds = 3
)

// entry is a message that was read from the local stream and is not settled.
type entry struct {
	seq   uint64
	msg   *Stored // nil: it is to be read again
	tried bool    // it was sent before, and the remote may have stored it: what it refused, it has not
}

// queue has the messages of one subject, in the order of the stream.
type queue struct {
	key     string
	subject string
	ordered bool // one message at a time is under way

	entries  []entry // not under way
	underWay int
	hold     hold
	reason   string
	probing  bool        // one message may be sent, though they are held
	late     bool        // it was held: the others go first
	listed   bool        // it is in one of the lists of those that may be sent
	parked   [holds]bool // it is in the list of those that are held
}

func (q *queue) countMessages() int { return len(q.entries) + q.underWay }

// nextSequence returns the sequence of the first message that is not under way; 0 for none.
func (q *queue) nextSequence() uint64 {
	if len(q.entries) == 0 {
		return 0
	}
	return q.entries[0].seq
}

// maySend reports whether a message of a queue may be sent now.
func (s *schedule) maySend(q *queue) bool {
	switch {
	case len(q.entries) == 0, q.ordered && q.underWay > 0, len(s.epochs) > 0 && q.entries[0].seq >= s.epochs[0]:
		return false
	case q.hold != free:
		return q.probing && q.underWay == 0
	}
	return true
}

// schedule decides which message is sent next: one of each subject in turn, so that
// none waits behind the backlog of another. What was held goes behind all others.
// The messages of one subject keep their order if the queue is ordered.
type schedule struct {
	queues map[string]*queue
	lists  [2]fifo // of the queues that may be sent: live, and late
	held   [holds]fifo
	counts [holds]int // messages by hold
	bytes  int        // of the messages in memory
	epochs []uint64   // where later epochs begin, rising: nothing from the first of them on is sent before [schedule.beginEpoch]
}

// bytesMax is how many bytes of messages that cannot be sent yet stay in memory; the
// others are read from the local stream again.
const bytesMax = 8 << 20

func newSchedule() *schedule { return &schedule{queues: make(map[string]*queue)} }

// addMessage appends a message to the queue of its key.
func (s *schedule) addMessage(key, subject string, ordered bool, e entry) *queue {
	q := s.queues[key]
	if q == nil {
		q = &queue{key: key, subject: subject, ordered: ordered}
		s.queues[key] = q
	}
	s.insertMessage(q, e)
	s.counts[q.hold]++
	s.listQueue(q)
	return q
}

// insertMessage inserts a message by its sequence. Its data stays in memory if that is
// within bytesMax.
func (s *schedule) insertMessage(q *queue, e entry) {
	if e.msg != nil {
		if q.hold != free || s.bytes+len(e.msg.Data) > bytesMax {
			e.msg = nil
		} else {
			s.bytes += len(e.msg.Data)
		}
	}
	i := len(q.entries)
	if i > 0 && q.entries[i-1].seq > e.seq {
		i = sort.Search(i, func(i int) bool { return q.entries[i].seq > e.seq })
	}
	q.entries = slices.Insert(q.entries, i, e)
}

func (s *schedule) listQueue(q *queue) {
	if q.listed || !s.maySend(q) {
		return
	}
	q.listed = true
	n := 0
	if q.late || q.hold != free {
		n = 1
	}
	s.lists[n].push(q)
}

// countSendable returns how many queues have something to send: of those that were never
// held, and of the others.
func (s *schedule) countSendable() (live, late int) { return s.lists[0].len(), s.lists[1].len() }

// takeNext returns the next message to send, which is then under way.
func (s *schedule) takeNext(late bool) (*queue, entry, bool) {
	n := 0
	if late {
		n = 1
	}
	for {
		q := s.lists[n].pop()
		if q == nil {
			return nil, entry{}, false
		}
		q.listed = false
		if !s.maySend(q) {
			continue
		}
		q, e := s.takeFrom(q.key)
		return q, e, true
	}
}

// settleEntry removes a message that is under way for good: the remote has it, or it is lost.
func (s *schedule) settleEntry(q *queue) {
	q.underWay--
	s.counts[q.hold]--
	if q.countMessages() == 0 {
		delete(s.queues, q.key)
		return
	}
	s.listQueue(q)
}

// putBack puts a message that was under way back into its queue.
func (s *schedule) putBack(q *queue, e entry) {
	q.underWay--
	q.probing = false
	s.insertMessage(q, e)
	if q.hold != free {
		s.moveQueue(q, q.hold)
	}
	s.listQueue(q)
}

// takeFrom returns the first message of a queue, which is then under way.
func (s *schedule) takeFrom(key string) (*queue, entry) {
	q := s.queues[key]
	e := q.entries[0]
	if e.msg != nil {
		s.bytes -= len(e.msg.Data)
	}
	q.entries[0] = entry{}
	q.entries = q.entries[1:]
	q.underWay++
	s.listQueue(q)
	return q, e
}

// holdQueue holds the messages of a queue, one of which was sent and is no longer under way.
func (s *schedule) holdQueue(q *queue, e entry, why hold, reason string) {
	q.reason = reason
	s.moveQueue(q, why)
	s.putBack(q, e)
	for i := range q.entries {
		if m := q.entries[i].msg; m != nil {
			s.bytes -= len(m.Data)
			q.entries[i].msg = nil
		}
	}
}

// moveQueue changes the hold of a queue. A queue is put at the end of the held ones again
// when it was tried without success.
func (s *schedule) moveQueue(q *queue, to hold) {
	s.counts[q.hold] -= q.countMessages()
	s.counts[to] += q.countMessages()
	q.hold = to
	if !q.parked[to] {
		q.parked[to] = true
		s.held[to].push(q)
	}
}

// releaseQueue ends the hold of a queue.
func (s *schedule) releaseQueue(q *queue) {
	if q.hold == free {
		return
	}
	s.counts[q.hold] -= q.countMessages()
	s.counts[free] += q.countMessages()
	q.hold, q.reason, q.probing, q.late = free, "", false, true
	s.listQueue(q)
}

// probeQueues has one message of each of the next n held queues be tried.
func (s *schedule) probeQueues(why hold, n int) {
	for range min(n, s.held[why].len()) {
		q := s.held[why].pop()
		q.parked[why] = false
		if q.hold == why && s.queues[q.key] == q && !q.probing {
			q.probing = true
			s.listQueue(q)
		}
	}
}

// addEpoch has the messages from seq on, which are of a later epoch than those before, wait
// for [schedule.beginEpoch].
func (s *schedule) addEpoch(seq uint64) { s.epochs = append(s.epochs, seq) }

// beginEpoch has the messages of the next epoch be sent, in their order.
func (s *schedule) beginEpoch() {
	s.epochs = s.epochs[1:]
	for _, q := range s.queues {
		s.listQueue(q)
	}
	s.sortBySequence()
}

// hasEarlier reports whether messages from before the next epoch are not settled, but for those
// that the remote refuses.
func (s *schedule) hasEarlier() bool {
	for _, q := range s.queues {
		if q.hold != refused && (q.underWay > 0 || len(q.entries) > 0 && q.entries[0].seq < s.epochs[0]) {
			return true
		}
	}
	return false
}

// countPending returns how many messages are not settled.
func (s *schedule) countPending() int { return s.counts[free] + s.counts[waiting] + s.counts[refused] }

// firstHeldQueue returns the first queue that is held for a reason; nil for none.
func (s *schedule) firstHeldQueue(why hold) *queue {
	var first *queue
	if s.counts[why] == 0 {
		return nil
	}
	for _, q := range s.queues {
		if q.hold == why && (first == nil || q.subject < first.subject) {
			first = q
		}
	}
	return first
}

// dropMessagesBefore removes the messages before seq that are neither under way nor in memory,
// and calls removed with each.
func (s *schedule) dropMessagesBefore(seq uint64, removed func(seq uint64)) {
	for key, q := range s.queues {
		before := len(q.entries)
		q.entries = slices.DeleteFunc(q.entries, func(e entry) bool {
			if e.seq >= seq || e.msg != nil {
				return false
			}
			removed(e.seq)
			return true
		})
		s.counts[q.hold] -= before - len(q.entries)
		if q.countMessages() == 0 {
			delete(s.queues, key)
		}
	}
}

// sortBySequence puts the queues that may be sent in the order of their first messages.
func (s *schedule) sortBySequence() {
	for i := range s.lists {
		slices.SortStableFunc(s.lists[i].queues[s.lists[i].head:], func(a, b *queue) int { return cmp.Compare(a.nextSequence(), b.nextSequence()) })
	}
}

// fifo is a list of queues in the order in which they came.
type fifo struct {
	queues []*queue
	head   int
}

func (f *fifo) len() int { return len(f.queues) - f.head }

func (f *fifo) push(q *queue) { f.queues = append(f.queues, q) }

func (f *fifo) pop() *queue {
	if f.len() == 0 {
		return nil
	}
	q := f.queues[f.head]
	f.queues[f.head] = nil
	f.head++
	if f.head*2 > len(f.queues) {
		f.queues = slices.Delete(f.queues, 0, f.head)
		f.head = 0
	}
	return q
}
