package daemon

import "time"

const (
	// stopTime is how long a stopping node tries to publish what it has decided,
	// and for how long again as long as it gets on with status changes.
	stopTime = 2 * time.Second
	// stopTurns bounds that: to 10 s, of the 30 that its service manager gives it.
	stopTurns = 5
	// handOverTime is how long it then waits for the XDR's NATS to take it, the
	// last heartbeat among it. With what closing takes, a node that has nothing
	// more to publish ends within 5 s.
	handOverTime = 2 * time.Second
)

// endPublishing calls stop after the stopTime, or later while fewer and fewer
// status changes wait, of which there were so many before. Keep-alive events are
// not waited for any longer than that.
func (b *backlog) endPublishing(before, turns int, stop func()) {
	time.AfterFunc(stopTime, func() {
		b.dropRoutine()
		waiting := b.waitingChanges()
		if waiting >= before || turns <= 1 {
			stop()
			return
		}
		b.endPublishing(waiting, turns-1, stop)
	})
}

// waitingChanges returns how many records that are no routine wait.
func (b *backlog) waitingChanges() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.status)
}

// dropRoutine drops the records of keep-alives.
func (b *backlog) dropRoutine() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dropped += int64(len(b.routine))
	b.routine = nil
	b.ring() // it may be empty now, which whoever takes has to see
}
