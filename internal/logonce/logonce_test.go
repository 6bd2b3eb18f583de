package logonce

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestALimiterAllowsOneLineAPeriodAndCountsTheOthers(t *testing.T) {
	for _, period := range []time.Duration{0, time.Minute} {
		synctest.Test(t, func(*testing.T) {
			l := Limiter{Period: period}
			var allowed []int
			for range 150 {
				if skipped, ok := l.Allow(); ok {
					allowed = append(allowed, skipped)
				}
				time.Sleep(time.Second) // fake time
			}
			if len(allowed) != 3 || allowed[0] != 0 || allowed[1] != 59 || allowed[2] != 59 {
				t.Errorf("allowed after %v", allowed)
			}
		})
	}
}

func TestAConditionIsNewsWhenItChanges(t *testing.T) {
	var c Condition
	for i, step := range []struct {
		err  error
		want bool
	}{{nil, false}, {errors.New("a"), true}, {errors.New("a"), false}, {errors.New("b"), true}, {nil, true}, {nil, false}, {errors.New("b"), true}} {
		if got := c.Set(step.err); got != step.want || c.Failed() != (step.err != nil) {
			t.Errorf("step %d: changed %v, failed %v", i, got, c.Failed())
		}
	}
}

func TestLinesOfOneKindAreLoggedThreeTimesAMinute(t *testing.T) {
	synctest.Test(t, func(*testing.T) {
		var l Kinds
		logged, reported := 0, 0
		for range 97_000 {
			if leftOut, ok := l.Allow("one kind"); ok {
				logged, reported = logged+1, reported+leftOut
			}
		}
		for i := range 1000 { // kinds as many as somebody likes
			if leftOut, ok := l.Allow(strings.Repeat("x", i%100) + "!"); ok {
				logged, reported = logged+1, reported+leftOut
			}
		}
		if logged > (kindsMax+1)*kindLines {
			t.Errorf("%d lines", logged)
		}
		time.Sleep(time.Minute) // fake time
		leftOut, ok := l.Allow("another")
		if !ok || logged+reported+leftOut != 98_000 {
			t.Errorf("a minute later: %v, %d lines, %d left out", ok, logged, reported+leftOut)
		}
	})
}

func TestAKeyIsLoggedOnceInAPeriod(t *testing.T) {
	synctest.Test(t, func(*testing.T) {
		k := Keys[int]{Period: time.Hour, Max: 2}
		var allowed []int
		for range 3 {
			for key := range 3 { // one more than may be logged
				if k.Allow(key) {
					allowed = append(allowed, key)
				}
			}
			time.Sleep(40 * time.Minute) // fake time
		}
		if !slices.Equal(allowed, []int{0, 1, 0, 1}) {
			t.Errorf("allowed: %v", allowed)
		}
		var once Keys[string]
		if !once.Allow("a") || once.Allow("a") || !once.Allow("b") {
			t.Error("a key without a period is not logged once")
		}
		once.Reset()
		if !once.Allow("a") {
			t.Error("a key is not logged after a reset")
		}
	})
}
