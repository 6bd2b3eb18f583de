package detector

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// storyAction is what agents do in a story.
type storyAction int

const (
	hang      storyAction = iota // they send nothing more
	crash                        // their connections close
	stop                         // they shut down
	back                         // they send a startup and a keep-alive
	wake                         // they continue after a hang
	silence                      // they are silenced from now on
	unsilence                    // and no more
	cutHost                      // their hosts answer no more: they and their agents are silent
	claimed                      // another node claims them
	lostThere                    // another node had them last, and has lost them
)

// storyEvent is what the agents from first to last do at a time.
type storyEvent struct {
	at          time.Duration
	first, last AgentID
	do          storyAction
}

// repeatEvents repeats what one agent does, every so often.
func repeatEvents(every time.Duration, times int, events ...storyEvent) (all []storyEvent) {
	for i := range times {
		for _, e := range events {
			e.at += time.Duration(i) * every
			all = append(all, e)
		}
	}
	return all
}

// runStory runs a story until its end, with agents that answer unless they hang, and
// returns the decisions in words, without the routine and the changes to pending.
func runStory(table *Table, now Instant, story []storyEvent, end time.Duration) []string {
	start, away, cut := now, map[AgentID]bool{}, map[AgentID]bool{}
	var said []Decision
	for ; now.Sub(start) < end; now = now.Add(SweepPeriod) {
		for len(story) > 0 && story[0].at <= now.Sub(start) {
			e := story[0]
			var seen []Sighting
			var silenced []Silenced
			for id := e.first; id <= e.last; id++ {
				switch {
				case e.do == silence || e.do == unsilence:
					silenced = append(silenced, Silenced{ID: id, On: e.do == silence})
				case e.do == cutHost:
					cut[id], away[id] = true, true
				case e.do >= claimed:
				default:
					away[id] = e.do < back
				}
				seen = append(seen, e.do.sightings(id, now)...)
			}
			table.Apply(seen)
			table.SetSilenced(silenced, now)
			story = story[1:]
		}
		table.Sweep(now)
		decided := slices.Clone(table.TakeDecisions())
		for _, d := range decided {
			if d.Verdict == ProbeHost {
				table.ReportHost(HostReport{ID: d.ID, Token: d.Token, At: now, Host: map[bool]Host{true: HostSilent, false: HostAnswers}[cut[d.ID]], Probe: "icmp"})
			}
		}
		for _, d := range append(decided, table.TakeDecisions()...) {
			if d.Verdict == Send && !away[d.ID] {
				table.Apply([]Sighting{{At: now, ID: d.ID, Kind: SawAnswer, Token: d.Token}})
			}
			if d.Verdict == AlertReleased || d.Verdict == Escalated {
				d.At = now // not when the agent was lost
			}
			if !d.Verdict.IsRoutine() && d.To != Pending {
				said = append(said, d)
			}
		}
	}
	return describeAll(said, start)
}

// sightings returns the sightings of an action.
func (do storyAction) sightings(id AgentID, now Instant) (seen []Sighting) {
	for _, kind := range map[storyAction][]Kind{crash: {SawClosed}, stop: {SawShutdown, SawClosed}, back: {SawStartup, SawKeepAlive}, wake: {SawKeepAlive}}[do] {
		seen = append(seen, Sighting{At: now, ID: id, Addr: addressOf(id), Kind: kind})
	}
	if kind, ok := map[storyAction]Kind{claimed: SawElsewhere, lostThere: LostElsewhere}[do]; ok {
		seen = append(seen, Sighting{At: now, ID: id, Kind: kind, Token: 1})
	}
	return seen
}

// describeAll makes one line of the decisions about many agents that differ in the
// agent only, and of what follows within a minute.
func describeAll(said []Decision, start Instant) (lines []string) {
	for len(said) > 0 {
		d := said[0]
		n := 1
		for n < len(said) && describeDecision(&said[n]) == describeDecision(&d) && said[n].At.Sub(d.At) < time.Minute {
			n++
		}
		who := ""
		if d.ID != 0 {
			who = fmt.Sprintf("%d × ", n)
		}
		lines = append(lines, fmt.Sprintf("%v: %s%s", d.At.Sub(start).Round(time.Second), who, describeDecision(&d)))
		said = said[n:]
	}
	return lines
}

func describeDecision(d *Decision) string {
	var text strings.Builder
	switch d.Verdict {
	case Changed:
		fmt.Fprintf(&text, "%v by %v", d.To, d.Reason)
	case AlertReleased:
		fmt.Fprintf(&text, "alert of %v", d.Reason)
	case Escalated:
		fmt.Fprintf(&text, "step %d of %v, away for %v", d.Step, d.Reason, d.AwayFor)
	case Flapping:
		fmt.Fprintf(&text, "flapping, %d changes", d.Changes)
	case OutageBegan, OutageEnded:
		f := d.Fleet
		word := map[Verdict]string{OutageBegan: "outage", OutageEnded: "outage over"}[d.Verdict]
		fmt.Fprintf(&text, "%s: %d of %d lost, %d closed, %d silent, %d back, %d networks", word, f.Lost, f.Watched, f.Closed, f.Silent, f.Back, len(f.Networks))
	}
	if d.Node != 0 {
		fmt.Fprintf(&text, " of node %d, was %v", d.Node, d.From)
	}
	if f := d.Fleet; f != nil && f.HostsProbed > 0 {
		fmt.Fprintf(&text, ", %d of %d hosts answer", f.HostsAnswered, f.HostsProbed)
	}
	if d.HostProbe != "" {
		fmt.Fprintf(&text, ", host %v by %s", d.Host, d.HostProbe)
	}
	if d.Silenced {
		text.WriteString(", silenced")
	}
	if d.Outage {
		text.WriteString(", part of an outage")
	}
	if d.AlertHeld {
		text.WriteString(", alert held")
	}
	return text.String()
}

func checkStory(t *testing.T, got, want []string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("decided (-want +got):\n%s", diff)
	}
}

// newHundredAgents returns a fleet of 100 active agents with known addresses and the
// daemon's default settings.
func newHundredAgents() (*Table, Instant) {
	table, now := newFleet(100, allFeatures)
	for id := AgentID(1); id <= 100; id++ {
		table.Apply([]Sighting{{At: now, ID: id, Addr: addressOf(id), Kind: SawEvent}})
	}
	table.TakeDecisions()
	return table, now
}
