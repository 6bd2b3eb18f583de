package daemon

import (
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/internal/message"
	"github.com/wazuh-pulse/pulse/internal/wake"
)

const (
	// telemetryLimit is how many records of keep-alives may wait before more are
	// dropped.
	telemetryLimit = 1 << 16
	// statusLimit is how many others may wait before the detector does: more than
	// two changes of each of 100 000 agents. A record has 392 bytes, so they are 98 MiB. Of
	// one agent there are no more than its share, which the detector keeps it to.
	statusLimit = 1 << 18
	// groupSize is how many are taken at a time: as many as are published in one go.
	groupSize = 1000
)

// backlog holds the records that the recorder has not taken yet. Those of
// keep-alives are taken when no other waits. Any goroutine puts, one takes.
type backlog struct {
	mu      sync.Mutex
	hasRoom sync.Cond
	status  recordQueue
	routine recordQueue
	spare   []message.Record // memory of a group that is published
	dropped int64
	closed  bool
	ready   wake.Signal // there is something to take that should not wait
}

func newBacklog() *backlog {
	b := &backlog{ready: wake.NewSignal()}
	b.hasRoom.L = &b.mu
	return b
}

func (b *backlog) put(r message.Record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.IsRoutine() {
		b.putRoutine(&r)
		return
	}
	for b.status.length >= statusLimit && !b.closed {
		b.hasRoom.Wait()
	}
	b.addRecord(&b.status, &r)
	b.ready.Send()
}

func (b *backlog) putRoutine(r *message.Record) {
	if b.routine.length >= telemetryLimit {
		b.dropped++
		return
	}
	b.addRecord(&b.routine, r)
	if b.routine.length >= groupSize {
		b.ready.Send()
	}
}

// addRecord appends a record to one of the queues, in spare memory if there is some.
func (b *backlog) addRecord(q *recordQueue, r *message.Record) {
	if len(q.groups) == 0 {
		q.groups, b.spare = append(q.groups, b.spare), nil
	}
	q.add(r)
}

// takeGroup returns the first group of what waits, and how many records were dropped
// before.
func (b *backlog) takeGroup() (records []message.Record, dropped int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	records = b.status.takeGroup(groupSize)
	if more := b.routine.takeGroup(groupSize - len(records)); len(records) == 0 {
		records = more
	} else {
		records = append(records, more...)
	}
	dropped, b.dropped = b.dropped, 0
	if b.status.length+b.routine.length > 0 {
		b.ready.Send()
	}
	b.hasRoom.Broadcast()
	return records, dropped
}

// reuse has the memory of a group that was taken used again: it is needed no more.
func (b *backlog) reuse(group []message.Record) {
	clear(group)
	b.mu.Lock()
	defer b.mu.Unlock()
	if cap(group) > cap(b.spare) {
		b.spare = group[:0]
	}
}

// recordQueue has records in groups of groupSize at most: it grows without copying them all, and
// the memory of those that were taken is free.
type recordQueue struct {
	groups [][]message.Record
	length int
}

func (q *recordQueue) add(r *message.Record) {
	last := len(q.groups) - 1
	if len(q.groups[last]) >= groupSize {
		q.groups = append(q.groups, make([]message.Record, 0, groupSize))
		last++
	}
	q.groups[last] = append(q.groups[last], *r)
	q.length++
}

// takeGroup takes up to n records of the first group.
func (q *recordQueue) takeGroup(n int) (first []message.Record) {
	if q.length == 0 || n == 0 {
		return nil
	}
	first = q.groups[0]
	if len(first) <= n {
		q.groups = q.groups[1:]
	} else {
		first, q.groups[0] = first[:n:n], first[n:]
	}
	if q.length -= len(first); q.length == 0 {
		q.groups = nil
	}
	return first
}

// isDone reports whether everything is taken, and nothing more will come.
func (b *backlog) isDone() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed && b.status.length+b.routine.length == 0
}

func (b *backlog) isClosed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}

func (b *backlog) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.hasRoom.Broadcast()
	b.ready.Send()
}

const (
	// stopTime is how long a stopping node tries to publish what it has decided. While
	// fewer status changes wait after it than before, it has as long again.
	stopTime = 2 * time.Second
	// stopTurns bounds that to 10 s of the 30 that its service manager allows.
	stopTurns = 5
	// forwardTimeout is how long it then waits until the XDR's NATS has all messages,
	// the last heartbeat included. A node that has nothing more to publish ends within 5 s.
	forwardTimeout = 2 * time.Second
)

// limitPublishing calls stop when the time to publish what was decided is over.
func (p *Publisher) limitPublishing(stop func()) {
	p.backlog.stopAfterDelay(p.backlog.countChanges(), stopTurns, stop)
}

// stopAfterDelay calls stop after stopTime, or later while the number of waiting status
// changes falls; before is that number now. Keep-alive events are dropped after the
// first stopTime.
func (b *backlog) stopAfterDelay(before, turns int, stop func()) {
	time.AfterFunc(stopTime, func() {
		b.dropRoutine()
		waiting := b.countChanges()
		if waiting >= before || turns <= 1 {
			stop()
			return
		}
		b.stopAfterDelay(waiting, turns-1, stop)
	})
}

// countChanges returns how many records that are no routine wait.
func (b *backlog) countChanges() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.status.length
}

// dropRoutine drops the records of keep-alives.
func (b *backlog) dropRoutine() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dropped += int64(b.routine.length)
	b.routine = recordQueue{}
	b.ready.Send() // it may be empty now, which whoever takes has to see
}
