package listen

import "time"

// loadMeter decides whether so many messages arrive that it pays to gather them: one by one
// they cost a wake-up each, gathered one for each gatherTime. It is for one goroutine.
type loadMeter struct {
	since  time.Time // of the period
	events int       // in it
	busy   bool      // in the one before
}

const (
	meterPeriod = 100 * time.Millisecond
	// busyEvents is how many events in a period are two for each gatherTime.
	busyEvents = 2 * int(meterPeriod/gatherTime)
)

func (m *loadMeter) addEvents(n int) { m.events += n }

// isBusy reports whether messages are to be gathered. A period may end late: then no message
// came meanwhile.
func (m *loadMeter) isBusy(now time.Time) bool {
	if elapsed := now.Sub(m.since); elapsed >= meterPeriod {
		m.busy = elapsed < 2*meterPeriod && m.events >= busyEvents
		m.since, m.events = now, 0
	}
	return m.busy
}
