package detector

import (
	"testing"
	"time"
)

// A restart neither repeats nor forgets what became of an absence.
func TestAbsencesGoOnOverARestart(t *testing.T) {
	const minute, s = time.Minute, time.Second
	lost := func(ago time.Duration, change func(*Restored)) Restored {
		a := Restored{Status: Disconnected, From: Active, Reason: ConnectionLost, Since: -Instant(ago), LastSeen: -Instant(ago), Greeted: true,
			Evidence: Evidence{Closed: true, Host: HostAnswers, HostProbe: "icmp", HostProbedAt: -Instant(ago)}}
		if change != nil {
			change(&a)
		}
		return a
	}
	for _, tt := range []struct {
		name  string
		was   Restored
		end   time.Duration
		story []storyEvent
		want  []string
	}{
		{"what was published is not again, and the next step comes in its time", lost(2*minute, func(a *Restored) { a.Step = 1 }), 59 * minute, nil,
			[]string{"58m0s: 1 × step 2 of connection_lost, away for 1h0m0s, host answers by icmp"}},
		{"a step that passed meanwhile waits as long as a reboot may take", lost(2*minute, nil), 10 * minute, nil,
			[]string{"1m0s: 1 × step 1 of connection_lost, away for 3m0s, host answers by icmp"}},
		{"of many that passed the last is reported", lost(25*time.Hour, nil), 10 * minute, nil,
			[]string{"1m0s: 1 × step 3 of connection_lost, away for 25h1m0s, host answers by icmp"}},
		{"who is back by then causes none", lost(2*minute, nil), 10 * minute, []storyEvent{{30 * s, 1, 1, back}},
			[]string{"30s: 1 × active by reconnected"}},
		{"an alert that waited for an outage comes after an interval", lost(30*s, func(a *Restored) { a.AlertHeld, a.Step = true, 3 }), 10 * minute, nil,
			[]string{"1m0s: 1 × alert of connection_lost, host answers by icmp"}},
		{"an alert that was held and has a step since comes as that", lost(10*s, func(a *Restored) { a.AlertHeld = true }), 10 * minute, nil,
			[]string{"1m0s: 1 × step 1 of connection_lost, away for 1m10s, host answers by icmp"}},
		{"an alert that was held for flapping comes after the window", lost(minute, func(a *Restored) { a.AlertHeld, a.Flapping, a.Step = true, true, 3 }), 15 * minute, nil,
			[]string{"9m0s: 1 × alert of connection_lost, host answers by icmp"}},
		{"an alert that was held for flapping waits until the agent had time to come back", lost(595*s, func(a *Restored) { a.AlertHeld, a.Flapping, a.Step = true, true, 3 }), 15 * minute, nil,
			[]string{"1m0s: 1 × alert of connection_lost, host answers by icmp"}},
		{"who flapped and was stable and is back by then has no alert", lost(700*s, func(a *Restored) { a.AlertHeld, a.Flapping, a.Step = true, true, 3 }), 15 * minute, []storyEvent{{30 * s, 1, 1, back}},
			[]string{"30s: 1 × active by reconnected"}},
		{"an agent that flapped and is there still does", lost(minute, func(a *Restored) {
			*a = Restored{Status: Active, Reason: Reconnected, Since: -Instant(minute), LastSeen: -1, Greeted: true, Flapping: true}
		}), 14 * minute, []storyEvent{{s, 1, 1, wake}, {2 * s, 1, 1, crash}},
			[]string{
				"4s: 1 × disconnected by connection_lost, host answers by icmp, alert held",
				"10m4s: 1 × step 1 of connection_lost, away for 10m0s, host answers by icmp",
			}},
		{"one that is silenced again waits until its silence ends", lost(2*minute, func(a *Restored) { a.AlertHeld, a.Silenced = true, true }), 14 * minute,
			[]storyEvent{{s, 1, 1, silence}, {12 * minute, 1, 1, unsilence}},
			[]string{"12m0s: 1 × step 1 of connection_lost, away for 14m0s, host answers by icmp"}},
		{"a dormant one has had all its steps", lost(100*time.Hour, func(a *Restored) { a.Step = 3 }), 10 * minute, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			table := NewTable(allVerdicts)
			tt.was.Member = Member{ID: 1, Name: "web", IP: "any"}
			tt.was.Addr, tt.was.Info = addressOf(1), Info{Groups: "web"}
			table.Restore([]Restored{tt.was}, nil)
			table.SetMembers([]Member{tt.was.Member}, 0)
			if r, _ := table.Agent(1); ReadInfo(r.Info).Groups != "web" || int(r.Step) != tt.was.Step ||
				r.Evidence == nil && tt.was.Status == Disconnected || r.Evidence != nil && r.Evidence.Host != tt.was.Evidence.Host {
				t.Errorf("restored %+v", r)
			}
			checkStory(t, runStory(table, 0, tt.story, tt.end), tt.want)
		})
	}
}

// An alert that was published before the outage that its loss is part of is not published
// again at the end of that, by another process.
func TestARestartDuringAnOutageRepeatsNoAlertOfBefore(t *testing.T) {
	for _, tt := range []struct {
		name  string
		ended Instant
		want  []string
	}{
		{"while it goes on", 0, []string{
			"30s: 30 × active by reconnected",
			"30s: outage over: 40 of 40 lost, 40 closed, 0 silent, 30 back, 1 networks",
			"1m30s: 9 × alert of connection_lost, part of an outage",
		}},
		{"while its alerts are held, which then wait until the agents had time to come back", -Instant(20 * time.Second), []string{
			"30s: 30 × active by reconnected",
			"1m0s: 9 × alert of connection_lost, part of an outage",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set := allVerdicts
			set.EscalateAfter, set.HostProbe = nil, false
			table := NewTable(set)
			lost := -Instant(time.Minute)
			var list []Restored
			var members []Member
			for id := AgentID(1); id <= 40; id++ {
				a := Restored{Member: Member{ID: id, Name: id.String(), IP: "any"}, Addr: addressOf(id), Status: Disconnected, Reason: ConnectionLost,
					Since: lost, LastSeen: lost, Greeted: true, AlertHeld: id != 40, Alerted: id == 40}
				list, members = append(list, a), append(members, a.Member)
			}
			table.Restore(list, &Outage{Since: lost, Watched: 40, ReportedAt: lost, Ended: tt.ended})
			table.SetMembers(members, 1)
			if r, _ := table.Agent(40); r.AlertHeld {
				t.Error("an alert is held that was published")
			}
			checkStory(t, runStory(table, 1, []storyEvent{{30 * time.Second, 1, 30, back}}, 5*time.Minute), tt.want)
		})
	}
}

// The losses from which an outage was detected are not marked; those of silenced agents are
// not part of it.
func TestARestoredOutageHasNoSilencedAgents(t *testing.T) {
	table := NewTable(allVerdicts)
	var list []Restored
	var members []Member
	for id := AgentID(1); id <= 60; id++ {
		a := Restored{Member: Member{ID: id, Name: id.String(), IP: "any"}, Addr: addressOf(id), Status: Disconnected, Reason: ConnectionLost,
			Since: -Instant(time.Minute), LastSeen: -Instant(time.Minute), Greeted: true, Silenced: id > 40, AlertHeld: true, Step: 3}
		list, members = append(list, a), append(members, a.Member)
	}
	table.Restore(list, &Outage{Since: -Instant(time.Minute), Watched: 40, ReportedAt: -Instant(time.Minute), HostsProbed: 10, HostsAnswered: 3})
	table.SetMembers(members, 1)
	got := runStory(table, 1, []storyEvent{{0, 41, 60, silence}, {30 * time.Second, 1, 40, back}}, 5*time.Minute)
	checkStory(t, got, []string{
		"30s: 40 × active by reconnected",
		"30s: outage over: 40 of 40 lost, 40 closed, 0 silent, 40 back, 0 networks, 3 of 10 hosts answer",
	})
}
