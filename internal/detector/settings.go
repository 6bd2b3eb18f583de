package detector

import (
	"fmt"
	"net/netip"
	"time"
)

// Method is the kind of keep-alive the manager sends.
type Method uint8

// The methods.
const (
	Request Method = iota // a request that the agent answers: a round trip
	Notify                // a message that the agent hears and does not answer
	Ack                   // the same, silent in the agent's log
)

var methodNames = [...]string{"request", "notify", "ack"}

func (m Method) String() string { return methodNames[m] }

// ParseMethod reads a method by its name in the settings.
func ParseMethod(name string) (Method, error) {
	for m, n := range methodNames {
		if n == name {
			return Method(m), nil
		}
	}
	return 0, fmt.Errorf("keep-alive method %q: want request, notify or ack", name)
}

// Settings steer the detector. Durations are positive, but for those of which
// it says otherwise.
type Settings struct {
	Group                        // of agents that are in no other
	Groups         []Group       // the others, numbered from 1
	GroupOf        GroupOf       // nil: all agents are in the first
	Method         Method        // of keep-alives
	RetryInterval  time.Duration // a keep-alive unanswered for this long is a miss
	SuspectTimeout time.Duration // the same, for an agent that is late beyond its habit; 0: habits are not watched
	ReconnectGrace time.Duration // a closed connection is lost after this; may be 0
	OutageShare    float64       // this share of the watched agents, lost within Interval, is an outage; 0: none is
	OutageHold     time.Duration // after an outage, alerts of those that stay away are held for this; may be 0
	FlapThreshold  int           // more status changes than this within FlapWindow are flapping; 0: nothing is
	FlapWindow     time.Duration
	MaxChanges     int // an agent's status changes that are reported one by one in a minute; more are summed up; 0: no limit
}

// Group is what may differ from agent to agent.
type Group struct {
	Interval  time.Duration // between keep-alives to one agent; 0: none are sent
	Timeout   time.Duration // no sign of life for this long: disconnected; at least Interval
	MaxMissed int           // this many unanswered keep-alives in a row: disconnected
}

// GroupOf returns the number of an agent's group. The address is not valid
// while nobody knows it.
type GroupOf func(id AgentID, name string, addr netip.Addr) int

// outageFewest is how many agents an outage takes at least: a small fleet's
// losses are told one by one.
const outageFewest = 20
