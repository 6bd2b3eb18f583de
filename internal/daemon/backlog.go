package daemon

import (
	"sync"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// record is a decision that is to be published, and what became of it so far.
type record struct {
	detector.Decision
	err error // of a Send: why the keep-alive did not go out
}

const (
	// telemetryLimit is how many records may wait before those of keep-alives
	// are dropped.
	telemetryLimit = 1 << 16
	// statusLimit is how many may wait before the detector does.
	statusLimit = 1 << 20
)

// backlog holds the records that the recorder has not taken yet. One goroutine
// puts, one takes.
type backlog struct {
	mu      sync.Mutex
	room    sync.Cond
	waits   []record
	dropped int64
	closed  bool
	ready   chan struct{} // there is something to take
}

func newBacklog() *backlog {
	b := &backlog{ready: make(chan struct{}, 1)}
	b.room.L = &b.mu
	return b
}

func (b *backlog) put(r record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.Verdict != detector.Changed && len(b.waits) >= telemetryLimit {
		b.dropped++
		return
	}
	for len(b.waits) >= statusLimit && !b.closed {
		b.room.Wait()
	}
	b.waits = append(b.waits, r)
	b.ring()
}

func (b *backlog) ring() {
	select {
	case b.ready <- struct{}{}:
	default:
	}
}

// take returns what waits, how many records were dropped before, and whether
// there may be more to come.
func (b *backlog) take() (records []record, dropped int64, open bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	records, dropped = b.waits, b.dropped
	b.waits, b.dropped = nil, 0
	b.room.Signal()
	return records, dropped, !b.closed
}

// close says that no more is put, and lets go of a detector that waits for room.
func (b *backlog) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.room.Signal()
	b.ring()
}
