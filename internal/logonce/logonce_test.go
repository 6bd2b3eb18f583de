package logonce

import (
	"errors"
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
