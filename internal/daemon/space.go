package daemon

import (
	"fmt"
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/internal/statedir"
)

// spaceWatch is how much of the state directory's disk is free, and when it will be full. It may be used concurrently.
type spaceWatch struct {
	space *statedir.Space // nil before the directory is open

	mu     sync.Mutex
	read   time.Time
	free   int64 // bytes; 0 if it is not known
	fullAt time.Time
}

// spaceReadPeriod is how often the disk is looked at.
const spaceReadPeriod = time.Minute

// readSpace returns the bytes that are free, and when none will be; zero if that is far off or not known.
func (w *spaceWatch) readSpace(now time.Time) (free int64, fullAt time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.space == nil || !w.read.IsZero() && now.Sub(w.read) < spaceReadPeriod {
		return w.free, w.fullAt
	}
	w.read, w.fullAt = now, time.Time{}
	var err error
	if w.free, err = w.space.Sample(now); err != nil {
		w.free = 0
	} else if at, ok := w.space.FullAt(now); ok {
		w.fullAt = at
	}
	return w.free, w.fullAt
}

func describeDiskFilling(o *observation) string {
	if o.fullAt.IsZero() {
		return ""
	}
	return fmt.Sprintf("the disk of the state directory has %.1f GB free, and is full on %s if it fills as during the last day",
		float64(o.free)/(1<<30), o.fullAt.UTC().Format("2006-01-02 15:04 MST"))
}
