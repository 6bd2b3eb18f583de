package attach

import "time"

// wallClock reads the wall clock, which is the one that the database's times are of.
// What is remembered is kept with a reading of the monotonic clock and brought back
// to the wall clock when it is compared: so a step of the wall clock, either way, hides
// nothing. Nil is the system's; tests have others.
type wallClock func() time.Time

func (c wallClock) now() time.Time {
	if c == nil {
		return time.Now().Round(0)
	}
	return c()
}

// second is the second of a time by the wall clock's present reading.
func (c wallClock) second(t time.Time) int64 { return c.now().Add(-time.Since(t)).Unix() }

// age is how long ago a second of the wall clock was; 0 for one that is to come.
func (c wallClock) age(second int64) time.Duration {
	return max(c.now().Sub(time.Unix(second, 0)), 0)
}

// time is a time of the wall clock with the reading of the monotonic clock that
// belongs to it now.
func (c wallClock) time(t time.Time) time.Time { return time.Now().Add(t.Sub(c.now())) }
