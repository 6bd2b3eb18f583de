package detector

import (
	"cmp"
	"fmt"
	"net/netip"
	"time"
)

// Method is the kind of keep-alive the manager sends.
type Method uint8

// The methods.
const (
	Request Method = iota // a request that the agent answers: a round trip
	Notify                // a message that the agent does not answer
	Ack                   // the same, silent in the agent's log
)

var methodNames = [...]string{"request", "notify", "ack"}

func (m Method) String() string { return methodNames[m] }

// ParseMethod parses a method by its name in the settings.
func ParseMethod(name string) (Method, error) {
	for m, n := range methodNames {
		if n == name {
			return Method(m), nil
		}
	}
	return 0, fmt.Errorf("keep-alive method %q: want request, notify or ack", name)
}

// Settings configure the detector. Durations are positive, unless documented otherwise.
type Settings struct {
	Group                        // of agents that are in no other
	Groups         []Group       // the others, numbered from 1
	GroupOf        GroupOf       // nil: all agents are in the first
	Method         Method        // of keep-alives
	RetryInterval  time.Duration // a keep-alive unanswered for this long is a miss
	SuspectTimeout time.Duration // the same, for an agent that is later than expected; 0: none is suspected
	ReconnectGrace time.Duration // a closed connection is lost after this; may be 0
	OutageShare    float64       // this share of the watched agents, lost within Interval, is an outage; 0: none is
	OutageHold     time.Duration // after an outage, alerts of those that stay away are held for this; may be 0
	FlapThreshold  int           // more status changes than this within FlapWindow are flapping; 0: nothing is
	FlapWindow     time.Duration
	MaxChanges     int             // an agent's status changes that are reported one by one in a minute; more are summed up; 0: no limit
	HostProbe      bool            // the host of a lost agent is probed
	EscalateAfter  []time.Duration // an agent that is away for each of these escalates; ascending
	DormantAfter   time.Duration   // an agent that is away for this long is dormant; 0: none is
}

// Group has the settings that may differ from agent to agent.
type Group struct {
	Interval  time.Duration // between keep-alives to one agent; 0: none are sent
	Timeout   time.Duration // no sign of life for this long: disconnected; at least Interval
	MaxMissed int           // this many unanswered keep-alives in a row: disconnected
}

// GroupOf returns the number of an agent's group. The address is not valid
// while it is unknown.
type GroupOf func(id AgentID, name string, addr netip.Addr, info Info) int

// minOutage is the least number of losses in an outage: those of a small fleet are
// reported one by one.
const minOutage = 20

// SetSettings replaces the settings, except for the method. Agents keep their state and
// nothing is decided by it: a timeout that is shorter now starts anew, and an answer that
// is awaited is due after the new time at most.
func (t *Table) SetSettings(set Settings, now Instant) {
	set.Method = t.set.Method
	before, passiveBefore, steps := t.groups, t.passive.groups, t.set.EscalateAfter
	t.set, t.groups, t.span = set, append([]Group{set.Group}, set.Groups...), cmp.Or(set.Interval, set.Timeout)
	t.derivePassiveGroups()
	for slot := range t.state {
		if s := &t.state[slot]; s.has(used) {
			was := &before[s.group]
			if s.isPassive() {
				was = &passiveBefore[s.group]
			}
			t.resetAgentDeadlines(int32(slot), was, now)
			t.resetAbsence(int32(slot), steps, now)
		}
	}
}

// resetAgentDeadlines adapts an agent's deadlines to new settings. Before is its group in the
// old ones.
func (t *Table) resetAgentDeadlines(slot int32, before *Group, now Instant) {
	s := &t.state[slot]
	s.group = t.findGroup(slot)
	group := t.groupOf(s)
	t.ensureDueBy(slot, now)
	if !s.isWatched() || s.has(losing) {
		return
	}
	if group.Timeout < before.Timeout {
		t.shortened = now
	}
	switch {
	case s.has(closed): // its grace runs on
	case s.has(probing):
		s.nextAction = min(s.nextAction, now.Add(t.answerTimeout(s)))
	case group.Interval != before.Interval:
		t.scheduleKeepAlive(slot, now)
	}
}

// SetSettings replaces the settings; see [Table.SetSettings]. Before is called after
// all decisions by the old ones were passed on, and before any by the new ones, from the
// goroutine of Run. It returns when that is done, or when the detector has ended.
func (d *Detector) SetSettings(set Settings, before func()) {
	d.callTableAndWait(func(t *Table, now Instant) {
		d.deliverDecisions()
		before()
		t.SetSettings(set, now)
	})
}
