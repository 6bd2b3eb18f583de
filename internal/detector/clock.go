package detector

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Instant is a moment on a Clock, in nanoseconds since it was made.
type Instant int64

// never is an instant after all others.
const never Instant = 1<<63 - 1

// Add returns the instant d later.
func (i Instant) Add(d time.Duration) Instant { return i + Instant(d) }

// Sub returns the time from j to i.
func (i Instant) Sub(j Instant) time.Duration { return time.Duration(i - j) }

// Clock returns instants by the monotonic clock, so that jumps of the wall clock do
// not affect it, and without the times at which the detector was paused. It is
// safe for concurrent use; a link and the detector it reports to share one.
type Clock struct {
	start   time.Time
	skipped atomic.Int64
	ahead   time.Duration // of the machine's wall clock
}

// NewClock returns a clock that starts now.
func NewClock() *Clock { return &Clock{start: time.Now()} }

// NewWrongClock is NewClock with a wall clock that is ahead of the machine's, or behind it:
// for tests of several nodes.
func NewWrongClock(ahead time.Duration) *Clock { return &Clock{start: time.Now(), ahead: ahead} }

// Now returns the present instant.
func (c *Clock) Now() Instant { return c.instantAt(time.Now()) }

// instantAt returns the instant of a time with a monotonic reading.
func (c *Clock) instantAt(now time.Time) Instant {
	return Instant(int64(now.Sub(c.start)) - c.skipped.Load())
}

// clockError is how far apart two readings of the wall clock and the monotonic one
// may find them, as they are read one after the other.
const clockError = time.Millisecond

// Time returns the wall-clock time of an instant, by the wall clock's present
// reading, to the millisecond: so a whole second that was made an instant
// is that second again, and not the end of the one before.
func (c *Clock) Time(i Instant) time.Time { return c.takeReading().timeOf(i) }

// reading is an instant and its wall-clock time, by which others are converted.
type reading struct {
	wall time.Time
	at   Instant
}

func (c *Clock) takeReading() reading {
	now := time.Now()
	return reading{wall: now.Round(0).Add(c.ahead), at: c.instantAt(now)}
}

func (r reading) timeOf(i Instant) time.Time { return r.wall.Add(i.Sub(r.at)).Round(clockError) }

// Instant returns the instant of a wall-clock time, by the wall clock's present
// reading. It is negative for times before the clock was made.
func (c *Clock) Instant(t time.Time) Instant {
	now := time.Now()
	return c.instantAt(now).Add(t.Sub(now.Round(0).Add(c.ahead)))
}

// suspendedTime returns for how long the machine has been suspended since it
// booted. The monotonic clock stops meanwhile, and so do the instants; the boot-time
// clock does not (clock_gettime(2)).
func (c *Clock) suspendedTime() time.Duration {
	var boot, mono unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono) != nil || unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot) != nil {
		return 0
	}
	return time.Duration(boot.Nano() - mono.Nano())
}

// skipTime sets the clock back by d.
func (c *Clock) skipTime(d time.Duration) { c.skipped.Add(int64(d)) }
