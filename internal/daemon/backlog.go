package daemon

import (
	"sync"

	"github.com/wazuh-pulse/pulse/internal/message"
)

const (
	// telemetryLimit is how many records of keep-alives may wait before more are
	// dropped.
	telemetryLimit = 1 << 16
	// statusLimit is how many others may wait before the detector does: more than
	// two changes of each of 100 000 agents, in 60 MiB. Of one agent there are no
	// more than its share, which the detector keeps it to.
	statusLimit = 1 << 18
	// groupSize is how many are taken at a time: as many as are published in one go.
	groupSize = 1000
)

// backlog holds the records that the recorder has not taken yet. Those of
// keep-alives are taken when no other waits. One goroutine puts, one takes.
type backlog struct {
	mu      sync.Mutex
	room    sync.Cond
	status  []message.Record
	routine []message.Record
	dropped int64
	closed  bool
	ready   chan struct{} // there is something to take that should not wait
}

func newBacklog() *backlog {
	b := &backlog{ready: make(chan struct{}, 1)}
	b.room.L = &b.mu
	return b
}

func (b *backlog) put(r message.Record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.Verdict.IsRoutine() {
		b.putRoutine(r)
		return
	}
	for len(b.status) >= statusLimit && !b.closed {
		b.room.Wait()
	}
	b.status = append(b.status, r)
	b.ring()
}

func (b *backlog) putRoutine(r message.Record) {
	if len(b.routine) >= telemetryLimit {
		b.dropped++
		return
	}
	b.routine = append(b.routine, r)
	if len(b.routine) >= groupSize {
		b.ring()
	}
}

func (b *backlog) ring() {
	select {
	case b.ready <- struct{}{}:
	default:
	}
}

// take returns the first group of what waits, and how many records were dropped
// before.
func (b *backlog) take() (records []message.Record, dropped int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	records = takeFirst(&b.status, groupSize)
	records = append(records, takeFirst(&b.routine, groupSize-len(records))...)
	dropped, b.dropped = b.dropped, 0
	if len(b.status)+len(b.routine) > 0 {
		b.ring()
	}
	b.room.Signal()
	return records, dropped
}

// takeFirst takes up to n records from the front of a queue. After a storm, the
// queue's memory is not kept.
func takeFirst(queue *[]message.Record, n int) (first []message.Record) {
	n = min(n, len(*queue))
	first, *queue = (*queue)[:n:n], (*queue)[n:]
	if len(*queue) == 0 {
		*queue = nil
	}
	return first
}

// done reports whether everything is taken, and nothing more will come.
func (b *backlog) done() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed && len(b.status)+len(b.routine) == 0
}

func (b *backlog) isClosed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}

// close says that no more is put, and lets go of a detector that waits for room.
func (b *backlog) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.room.Signal()
	b.ring()
}
