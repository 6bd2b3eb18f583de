package detector

import (
	"testing"
	"time"
	"unsafe"
)

// A jump of the wall clock does not change instants, which are converted by its new
// time. A jump since the clock was made is simulated by a start with another wall-clock
// reading and the same monotonic one, which only unsafe can make.
func TestWallClockJumpsChangeNothing(t *testing.T) {
	for _, jump := range []time.Duration{-24 * time.Hour, -time.Minute, time.Minute, 24 * time.Hour} {
		clock := NewClock()
		before := clock.Now()
		clock.start = shiftWall(t, clock.start, -jump)
		if after := clock.Now(); after < before || after.Sub(before) > 10*time.Second {
			t.Errorf("a jump by %v: the instant was %v and is %v", jump, before, after)
		}
		now := time.Now()
		if told := clock.Time(clock.Now()).Sub(now.Round(0)); told.Abs() > 10*time.Second {
			t.Errorf("a jump by %v: the present instant is told as %v from now", jump, told)
		}
		if i := clock.Instant(now.Round(0)).Sub(clock.Now()); i.Abs() > 10*time.Second {
			t.Errorf("a jump by %v: the present time is the instant %v from now", jump, i)
		}
	}
}

// A database has whole seconds. Converted to an instant and back, such a time is still
// that second. A test that is interrupted between the readings of the two clocks may
// miss a few.
func TestAWholeSecondSurvivesConversion(t *testing.T) {
	clock := NewClock()
	const tries = 1000
	missed := 0
	for i := range tries {
		second := time.Now().Unix() - int64(i)
		if clock.Time(clock.Instant(time.Unix(second, 0))).Unix() != second {
			missed++
		}
	}
	if missed > tries/100 {
		t.Errorf("%d of %d seconds are told as another", missed, tries)
	}
}

// shiftWall moves a time's wall-clock reading by whole seconds, and leaves its
// monotonic reading. A time's first word holds the wall clock's seconds from bit
// 30 up, if it has a monotonic reading.
func shiftWall(t *testing.T, at time.Time, by time.Duration) time.Time {
	t.Helper()
	shifted := at
	*(*uint64)(unsafe.Pointer(&shifted)) += uint64(by/time.Second) << 30
	if shifted.Round(0).Sub(at.Round(0)) != by || shifted.Sub(at) != 0 {
		t.Fatalf("%v has no monotonic reading, or times are made otherwise in this Go", at)
	}
	return shifted
}

func TestAWrongClockIsWrongByAsMuchBothWays(t *testing.T) {
	c := NewWrongClock(-time.Hour)
	at := c.Now()
	if wall := c.Time(at); time.Since(wall).Round(time.Minute) != time.Hour {
		t.Errorf("%v", wall)
	}
	if back := c.Instant(c.Time(at)); back.Sub(at).Abs() > time.Second {
		t.Errorf("%v is %v", at, back)
	}
}
