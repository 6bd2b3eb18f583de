package console

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/history"
)

func newChange(at time.Time, id detector.AgentID, from, to detector.Status, reason detector.Reason) history.Event {
	return history.Event{At: at, Known: at, ID: id, Name: fmt.Sprintf("host-%03d", id), From: from, To: to, Reason: reason}
}

// The counts of a day are those of now, and back from there by each change.
func TestTheCountsOfADayFollowFromItsChanges(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 30, 30, 0, time.UTC)
	since := now.Add(-24 * time.Hour)
	changes := &dayChanges{first: minuteOf(since)}
	for _, e := range []history.Event{
		newChange(since.Add(-time.Hour), 9, detector.Active, detector.Disconnected, detector.KeepAliveTimeout), // before the day
		newChange(now.Add(-5*time.Hour), 1, detector.NeverConnected, detector.Pending, detector.Startup),
		newChange(now.Add(-5*time.Hour), 1, detector.Pending, detector.Active, detector.Connected),
		newChange(now.Add(-2*time.Hour), 1, detector.Active, detector.Disconnected, detector.KeepAliveTimeout),
		newChange(now.Add(-time.Hour), 2, detector.Active, detector.Disconnected, detector.AgentRemoved),
		newChange(now, 1, detector.Disconnected, detector.Active, detector.Reconnected),
		newChange(now.Add(48*time.Hour), 1, detector.Active, detector.Pending, detector.Startup), // by another clock
	} {
		changes.addChange(&e)
	}
	var d dayCounts
	d.addPoint(now, statusCounts{7, 0, 0, 1})
	d.addPast(changes, since, now, statusCounts{7, 0, 0, 1})
	at := func(ago time.Duration) statusCounts { return d.points[len(d.points)-1-int(ago/dayPeriod)] }
	for ago, want := range map[time.Duration]statusCounts{
		0: {7, 0, 0, 1}, time.Minute: {6, 1, 0, 1}, time.Hour: {6, 1, 0, 1}, time.Hour + time.Minute: {7, 1, 0, 1}, 2*time.Hour + time.Minute: {8, 0, 0, 1},
		5*time.Hour + time.Minute: {7, 0, 0, 2}, 23 * time.Hour: {7, 0, 0, 2},
	} {
		if got := at(ago); got != want {
			t.Errorf("%v ago %v, want %v", ago, got, want)
		}
	}
	if len(d.points) != dayPoints {
		t.Errorf("%d points", len(d.points))
	}
	d.addPoint(now.Add(10*time.Minute), statusCounts{1, 2, 3, 4}) // the host was asleep
	if at(0) != (statusCounts{1, 2, 3, 4}) || at(time.Minute) != (statusCounts{7, 0, 0, 1}) || len(d.points) != dayPoints {
		t.Errorf("%v %v, %d points", at(0), at(time.Minute), len(d.points))
	}
	d.addPoint(now.Add(-time.Hour), statusCounts{5, 5, 5, 5}) // the clock was set back
	d.addPoint(now.Add(1000*time.Hour), statusCounts{6, 6, 6, 6})
	if len(d.points) != 1 || at(0) != (statusCounts{6, 6, 6, 6}) {
		t.Errorf("%v", d.points)
	}
}

// What is not known of the day is not shown as if nothing had been.
func TestADayBeginsWhereItsChangesAreKnown(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 30, 30, 0, time.UTC)
	var d dayCounts
	d.addPast(&dayChanges{first: minuteOf(now.Add(-24 * time.Hour))}, now.Add(-10*time.Minute), now, statusCounts{7, 0, 0, 1})
	if len(d.points) != 11 {
		t.Errorf("%d points", len(d.points))
	}
}

func TestTheDashboardShowsADayOfTheFleetAndOfAnAgent(t *testing.T) {
	b := openBrowser(t)
	s, at := openExampleFleet(t, func(cfg *Config, _ *detector.Settings) {
		cfg.ReadChanges = func(_ context.Context, since time.Time, id *detector.AgentID, each func(*history.Event)) (time.Time, error) {
			for i := range 12 * 24 { // every five minutes something happens to an agent, and at one hour to many
				many := 1
				if i == 170 {
					many = 60
				}
				for k := range many {
					agent := detector.AgentID((i+k)%400 + 1)
					when := since.Add(time.Duration(i+1) * 5 * time.Minute)
					lost := newChange(when, agent, detector.Active, detector.Disconnected, detector.KeepAliveTimeout)
					back := newChange(when.Add(time.Duration(3+i%7)*time.Minute), agent, detector.Disconnected, detector.Active, detector.Reconnected)
					for _, e := range []history.Event{lost, back} {
						if id == nil || *id == agent {
							each(&e)
						}
					}
				}
			}
			return since, nil
		}
	})
	s.connectFleet(at, func(id detector.AgentID) bool { return id%97 == 0 })
	b.openPage(s.url + "/?agent=171")
	b.waitUntil(isLive)
	b.waitUntil(`/^at most 6\d, at \d\d:\d\d; now \d+$/.test(document.getElementById("day-words").innerText)`)
	b.waitUntil(`document.querySelectorAll("#agent .chart rect").length >= 4`)
	if got := b.evaluate(`document.querySelector("#agent .chart text").textContent`); len(got) < 8 { // with the day
		t.Errorf("the line begins at %s", got)
	}
	b.evaluate(`document.getElementById("day-chart").dispatchEvent(new PointerEvent("pointermove", { clientX: innerWidth / 2 }))`)
	b.waitUntil(`/^\d\d:\d\d: \d+ disconnected, \d+ active$/.test(document.getElementById("day-words").innerText)`)
	b.evaluate(`document.getElementById("day-chart").dispatchEvent(new PointerEvent("pointerleave"))`)
	b.saveScreenshot("day")
	s.detector.Report(detector.Sighting{At: s.clock.Now(), Addr: at[300], ID: 300, Kind: detector.SawShutdown})
	b.waitUntil(`/; now 1$/.test(document.getElementById("day-words").innerText)`) // not only with the next minute
	b.checkErrors(s)
}
