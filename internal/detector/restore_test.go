package detector

import (
	"testing"
	"time"
)

// After a restart, agents keep their status and outages continue.
func TestRestarts(t *testing.T) {
	const minute, s = time.Minute, time.Second
	for _, tt := range []struct {
		name  string
		was   func(a *Restored)
		story []storyEvent
		want  []string
	}{
		{"agents that were active and show themselves in a timeout cause nothing", nil,
			[]storyEvent{{5 * s, 1, 40, back}, {179 * s, 41, 100, wake}}, nil},
		{"who does not is given up after one timeout", nil,
			[]storyEvent{{5 * s, 1, 99, back}}, []string{"3m0s: 1 × disconnected by keepalive_timeout"}},
		{"half of the fleet that does not is an outage", nil,
			[]storyEvent{{5 * s, 1, 50, back}}, []string{
				"3m0s: 50 × disconnected by keepalive_timeout, part of an outage, alert held",
				"3m0s: outage: 50 of 100 lost, 0 closed, 50 silent, 0 back, 1 networks",
			}},
		{"who was lost before and stays away causes nothing",
			func(a *Restored) { a.Status, a.Reason = Disconnected, ConnectionLost }, nil, nil},
		{"who was lost before and comes back is reconnected",
			func(a *Restored) { a.Status, a.Reason = Disconnected, MissedKeepAlives },
			[]storyEvent{{5 * s, 7, 7, wake}}, []string{"5s: 1 × active by reconnected"}},
		{"one that crashes after it showed itself is lost as ever", nil,
			[]storyEvent{{5 * s, 1, 100, back}, {10 * s, 7, 7, crash}}, []string{"12s: 1 × disconnected by connection_lost"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table := NewTable(allFeatures)
			var list []Restored
			var members []Member
			for id := AgentID(1); id <= 100; id++ {
				a := Restored{Member: Member{ID: id, Name: id.String(), IP: "any"}, Addr: addressOf(id), Reason: Reconnected,
					Since: -Instant(time.Hour), LastSeen: -Instant(minute), Greeted: true}
				if tt.was != nil {
					tt.was(&a)
				}
				list, members = append(list, a), append(members, a.Member)
			}
			table.Restore(list, nil)
			table.SetMembers(members, 0)
			checkStory(t, runStory(table, 0, tt.story, 10*minute), tt.want)
		})
	}
}

// The times of messages are whole seconds, and each is converted to an instant with its
// own reading of the clocks.
func TestAnOutageGoesOnOverARestartWhateverItsInstantsAreOff(t *testing.T) {
	const minute, s = time.Minute, time.Second
	since := -Instant(10 * minute)
	for _, off := range []Instant{0, -1, -800, 1, Instant(-999 * time.Millisecond)} {
		table := NewTable(allFeatures)
		var list []Restored
		var members []Member
		for id := AgentID(1); id <= 100; id++ {
			a := Restored{Member: Member{ID: id, Name: id.String(), IP: "any"}, Addr: addressOf(id), Reason: Reconnected, Since: -Instant(time.Hour), Greeted: true}
			switch {
			case id <= 20: // lost before that was known to be an outage
				a.Status, a.Reason, a.Since = Disconnected, ConnectionLost, since+off
			case id <= 35: // and after
				a.Status, a.Reason, a.Since, a.Outage, a.Part = Disconnected, KeepAliveTimeout, since.Add(5*s)+off, true, FellSilent
			case id <= 40: // back before the restart
				a.Since, a.Part = since.Add(minute)+off, FellSilent
			case id == 41: // lost alone, later
				a.Status, a.Reason, a.Since = Disconnected, ConnectionLost, since.Add(8*minute)+off
			case id == 42: // long away
				a.Status, a.Reason, a.Since = Disconnected, ConnectionLost, since.Add(-minute)+off
			}
			a.LastSeen = a.Since
			list, members = append(list, a), append(members, a.Member)
		}
		table.Restore(list, &Outage{Since: since, Watched: 98, ReportedAt: since.Add(2 * s)})
		table.SetMembers(members, 1)
		got := runStory(table, 1, []storyEvent{{s, 36, 40, wake}, {s, 43, 100, wake}, {minute, 1, 14, back}, {2 * minute, 15, 16, back}, {2*minute + 30*s, 43, 100, wake}}, 3*minute)
		checkStory(t, got, []string{
			"1m0s: 14 × active by reconnected",
			"2m0s: 2 × active by reconnected",
			"2m0s: outage over: 40 of 98 lost, 20 closed, 20 silent, 21 back, 1 networks",
		})
	}
}
