package detector

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestFlapping(t *testing.T) {
	const minute, s = time.Minute, time.Second
	upAndDown := []storyEvent{{0, 7, 7, crash}, {10 * s, 7, 7, back}} // three changes: disconnected, pending, active
	for _, tt := range []struct {
		name  string
		story []storyEvent
		want  []string
	}{
		{"six changes in ten minutes are bearable", repeatEvents(minute, 2, upAndDown...), []string{
			"2s: 1 × disconnected by connection_lost",
			"10s: 1 × active by reconnected",
			"1m2s: 1 × disconnected by connection_lost",
			"1m10s: 1 × active by reconnected",
		}},
		{"the seventh is flapping, told once, and from then on alerts are held", repeatEvents(minute, 4, upAndDown...), []string{
			"2s: 1 × disconnected by connection_lost",
			"10s: 1 × active by reconnected",
			"1m2s: 1 × disconnected by connection_lost",
			"1m10s: 1 × active by reconnected",
			"2m2s: 1 × disconnected by connection_lost, alert held",
			"2m2s: 1 × flapping, 7 changes",
			"2m10s: 1 × active by reconnected",
			"3m2s: 1 × disconnected by connection_lost, alert held",
			"3m10s: 1 × active by reconnected",
		}},
		{"changes that are spread over more than ten minutes are bearable", repeatEvents(6*minute, 5, upAndDown...), []string{
			"2s: 1 × disconnected by connection_lost",
			"10s: 1 × active by reconnected",
			"6m2s: 1 × disconnected by connection_lost",
			"6m10s: 1 × active by reconnected",
			"12m2s: 1 × disconnected by connection_lost",
			"12m10s: 1 × active by reconnected",
			"18m2s: 1 × disconnected by connection_lost",
			"18m10s: 1 × active by reconnected",
			"24m2s: 1 × disconnected by connection_lost",
			"24m10s: 1 × active by reconnected",
		}},
		{"still away after ten stable minutes: the alert comes",
			append(repeatEvents(minute, 2, upAndDown...), storyEvent{2 * minute, 7, 7, crash}), []string{
				"2s: 1 × disconnected by connection_lost",
				"10s: 1 × active by reconnected",
				"1m2s: 1 × disconnected by connection_lost",
				"1m10s: 1 × active by reconnected",
				"2m2s: 1 × disconnected by connection_lost, alert held",
				"2m2s: 1 × flapping, 7 changes",
				"12m2s: 1 × alert of connection_lost",
			}},
		{"stable for ten minutes: the next loss is as any other",
			append(repeatEvents(minute, 3, upAndDown...), storyEvent{13 * minute, 7, 7, crash}), []string{
				"2s: 1 × disconnected by connection_lost",
				"10s: 1 × active by reconnected",
				"1m2s: 1 × disconnected by connection_lost",
				"1m10s: 1 × active by reconnected",
				"2m2s: 1 × disconnected by connection_lost, alert held",
				"2m2s: 1 × flapping, 7 changes",
				"2m10s: 1 × active by reconnected",
				"13m2s: 1 × disconnected by connection_lost",
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table, now := newHundredAgents()
			checkStory(t, runStory(table, now, slices.Clone(tt.story), 45*minute), tt.want)
		})
	}
}

// A fleet that is lost and comes back as one, again and again, is in outages,
// and none of its agents flaps.
func TestOutagesAreNoFlapping(t *testing.T) {
	table, now := newHundredAgents()
	story := repeatEvents(2*time.Minute, 5, storyEvent{0, 1, 100, crash}, storyEvent{30 * time.Second, 1, 100, back})
	var want []string
	for i := range 5 {
		lost, back := time.Duration(2*i)*time.Minute+2*time.Second, time.Duration(2*i)*time.Minute+30*time.Second
		want = append(want,
			fmt.Sprintf("%v: 100 × disconnected by connection_lost, part of an outage, alert held", lost),
			fmt.Sprintf("%v: outage: 100 of 100 lost, 100 closed, 0 silent, 0 back, 1 networks", lost),
			fmt.Sprintf("%v: 100 × active by reconnected", back),
			fmt.Sprintf("%v: outage over: 100 of 100 lost, 100 closed, 0 silent, 100 back, 0 networks", back))
	}
	checkStory(t, runStory(table, now, story, 30*time.Minute), want)
}
