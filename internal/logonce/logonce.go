// Package logonce keeps what happens again and again from filling a log.
//
// It starts no goroutines and writes no log itself.
package logonce

import (
	"sync"
	"time"
)

// Limiter allows one line a period. The zero value allows one a minute. It may be used
// concurrently.
type Limiter struct {
	Period time.Duration // 0 for a minute

	mu      sync.Mutex
	last    time.Time
	skipped int
}

// Allow reports whether a line may be logged now, and how many were not since the last.
func (l *Limiter) Allow() (skipped int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	period := l.Period
	if period == 0 {
		period = time.Minute
	}
	now := time.Now()
	if !l.last.IsZero() && now.Sub(l.last) < period {
		l.skipped++
		return 0, false
	}
	skipped, l.last, l.skipped = l.skipped, now, 0
	return skipped, true
}

// Condition is something that works or not, which is logged when that changes. The zero
// value works. It is for one goroutine.
type Condition struct{ problem string }

// Set records the error, nil if all is well, and reports whether that is news.
func (c *Condition) Set(err error) (changed bool) {
	problem := ""
	if err != nil {
		problem = err.Error()
	}
	changed = problem != c.problem
	c.problem = problem
	return changed
}

// Failed reports whether the last error was not nil.
func (c *Condition) Failed() bool { return c.problem != "" }
