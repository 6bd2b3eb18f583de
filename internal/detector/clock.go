package detector

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Instant is a moment on a Clock, in nanoseconds since it was made.
type Instant int64

// never is an instant that does not come.
const never Instant = 1<<63 - 1

// Add returns the instant d later.
func (i Instant) Add(d time.Duration) Instant { return i + Instant(d) }

// Sub returns the time from j to i.
func (i Instant) Sub(j Instant) time.Duration { return time.Duration(i - j) }

// Clock tells instants: by the monotonic clock, so that jumps of the wall
// clock do not move it, and without the times at which the detector was away. It is
// safe for concurrent use; a link and the detector it reports to share one.
type Clock struct {
	start time.Time
	lost  atomic.Int64
}

// NewClock returns a clock that starts now.
func NewClock() *Clock { return &Clock{start: time.Now()} }

// Now returns the present instant.
func (c *Clock) Now() Instant { return c.at(time.Now()) }

// at is the instant of a reading of both clocks.
func (c *Clock) at(now time.Time) Instant { return Instant(int64(now.Sub(c.start)) - c.lost.Load()) }

// clockError is how far apart two readings of the wall clock and the monotonic one
// may find them, as they are read one after the other.
const clockError = time.Millisecond

// Time returns the wall-clock time of an instant, by the wall clock's present
// reading, to the millisecond: so a whole second that was made an instant
// is that second again, and not the end of the one before.
func (c *Clock) Time(i Instant) time.Time { return c.read().time(i) }

// reading is the wall-clock time of an instant, by which others are converted.
type reading struct {
	wall time.Time
	at   Instant
}

func (c *Clock) read() reading {
	now := time.Now()
	return reading{wall: now.Round(0), at: c.at(now)}
}

func (r reading) time(i Instant) time.Time { return r.wall.Add(i.Sub(r.at)).Round(clockError) }

// Instant returns the instant of a wall-clock time, by the wall clock's present
// reading. It is negative for times before the clock was made.
func (c *Clock) Instant(t time.Time) Instant {
	now := time.Now()
	return c.at(now).Add(t.Sub(now.Round(0)))
}

// suspended returns for how long the machine has been suspended since it
// booted. The monotonic clock stands still meanwhile, and so do the instants;
// what the system calls boot time does not (clock_gettime(2)).
func (c *Clock) suspended() time.Duration {
	var boot, mono unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono) != nil || unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot) != nil {
		return 0
	}
	return time.Duration(boot.Nano() - mono.Nano())
}

// lose takes d out of the clock: it goes back by d.
func (c *Clock) lose(d time.Duration) { c.lost.Add(int64(d)) }
