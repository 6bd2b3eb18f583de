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
	// groupSize is how many are taken at a time: as many as are published in one go.
	groupSize = 1000
)

// backlog holds the records that the recorder has not taken yet. One goroutine
// puts, one takes.
type backlog struct {
	mu      sync.Mutex
	room    sync.Cond
	waits   []record
	dropped int64
	closed  bool
	ready   chan struct{} // there is something to take that should not wait
}

func newBacklog() *backlog {
	b := &backlog{ready: make(chan struct{}, 1)}
	b.room.L = &b.mu
	return b
}

func (b *backlog) put(r record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.Verdict.Routine() && len(b.waits) >= telemetryLimit {
		b.dropped++
		return
	}
	for len(b.waits) >= statusLimit && !b.closed {
		b.room.Wait()
	}
	b.waits = append(b.waits, r)
	if !r.Verdict.Routine() || len(b.waits) >= groupSize {
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
func (b *backlog) take() (records []record, dropped int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := min(len(b.waits), groupSize)
	records, b.waits = b.waits[:n:n], b.waits[n:]
	dropped, b.dropped = b.dropped, 0
	if len(b.waits) > 0 {
		b.ring()
	} else {
		b.waits = nil // after a storm, its memory is not kept
	}
	b.room.Signal()
	return records, dropped
}

// done reports whether everything is taken, and nothing more will come.
func (b *backlog) done() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed && len(b.waits) == 0
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
