package detector

import "time"

// Instant is a moment on the monotonic clock, in nanoseconds since a Clock was
// made. Jumps of the wall clock do not move it.
type Instant int64

// never is an instant that does not come.
const never Instant = 1<<63 - 1

// Add returns the instant d later.
func (i Instant) Add(d time.Duration) Instant { return i + Instant(d) }

// Sub returns the time from j to i.
func (i Instant) Sub(j Instant) time.Duration { return time.Duration(i - j) }

// Clock tells instants. It is safe for concurrent use; a link and the detector
// it reports to share one.
type Clock struct{ start time.Time }

// NewClock returns a clock that starts now.
func NewClock() *Clock { return &Clock{time.Now()} }

// Now returns the present instant.
func (c *Clock) Now() Instant { return Instant(time.Since(c.start)) }

// Time returns the wall-clock time of an instant, by the wall clock's present
// reading.
func (c *Clock) Time(i Instant) time.Time {
	return time.Now().Add(i.Sub(c.Now())).Round(0)
}
