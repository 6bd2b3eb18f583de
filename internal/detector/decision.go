package detector

import (
	"net/netip"
	"slices"
	"time"
)

// Verdict says what kind of decision a Decision is.
type Verdict uint8

// The verdicts.
const (
	Send          Verdict = iota // send a keep-alive to the agent
	Acknowledged                 // the agent answered one, after RTT
	Failed                       // one was missed; Missed counts them
	Changed                      // the agent's status changed
	AlertReleased                // the alert of a change that was held is due: the agent is still away
	Flapping                     // the agent's status changes too often
	OutageBegan                  // a large part of the fleet was lost at once
	OutageEnded                  // most of it is back
	Resumed                      // the detector itself had been away, for Lull
)

// IsRoutine reports whether a decision is about the daily round of keep-alives,
// and not about an agent's fate.
func (v Verdict) IsRoutine() bool { return v <= Failed }

// Decision is what follows from a sighting, or from the lack of one. The first
// three fields are always set, the next four if it is about one agent; the others
// depend on the verdict. A [Table] sets no times: a [Detector] converts the instants
// of a decision once, before it hands the decision out.
type Decision struct {
	Verdict Verdict
	At      Instant
	Time    time.Time // of At

	ID    AgentID
	Group int // the agent's
	Name  string
	IP    string // the agent's address, or what it is registered under while that is unknown

	Token        uint32        // Send, Acknowledged, Failed: names the keep-alive, so that its answer can be told
	Interval     time.Duration // Send: the agent's keep-alive interval
	RTT          time.Duration // Acknowledged: from decision to answer
	Missed       int           // Failed, Changed, Overdue: unanswered keep-alives in a row
	From, To     Status        // Changed, Overdue
	Reason       Reason        // Changed, Overdue
	LastSeen     Instant       // Changed, Overdue: of use only when Seen
	LastSeenTime time.Time     // Changed, Overdue: of LastSeen; zero unless Seen
	Seen         bool          // Changed, Overdue: there was a sign of life ever
	Outage       bool          // Changed, Overdue: a loss that is part of an outage
	Part         Part          // Changed: how the agent counts in the outage that goes on, also when it is back
	AlertHeld    bool          // Changed: no alert now; Overdue follows unless the agent comes back
	Changes      int           // Flapping: within the window; Changed: how many this one stands for, 0 for itself alone
	Fleet        *Fleet        // OutageBegan, OutageEnded
	Pause        time.Duration // Resumed
}

// Fleet describes an outage.
type Fleet struct {
	Since     Instant   // the first loss
	SinceTime time.Time // of Since
	Watched   int       // agents that were active or pending before
	Lost      int       // of these, how many were lost so far
	Closed    int       // of the lost, those whose connections closed
	Silent    int       // of the lost, those that only fell silent: if all, our own network may be the cause
	Back      int       // OutageEnded: how many of the lost came back
	Networks  []Network // where the lost are, most first, maxNetworks at most
}

// Part is how an agent that was lost in an outage counts in it, until that is
// over: by its first loss.
type Part uint8

// The parts.
const (
	NoPart Part = iota // it was not lost in the outage
	ConnectionClosed
	FellSilent
)

var partNames = [...]string{"", "connections_closed", "fell_silent"}

func (p Part) String() string { return partNames[p] }

// ParsePart reads a part by its name, which is that of the number in which the
// agent counts.
func ParsePart(name string) (Part, bool) {
	p := slices.Index(partNames[:], name)
	return Part(max(p, 0)), p >= 0
}

// setTimes sets the times of decisions, by one reading of the clock for all.
func (c *Clock) setTimes(decisions []Decision) {
	read := c.read()
	for i := range decisions {
		d := &decisions[i]
		d.Time = read.time(d.At)
		if d.Seen {
			d.LastSeenTime = read.time(d.LastSeen)
		}
		if d.Fleet != nil {
			d.Fleet.SinceTime = read.time(d.Fleet.Since)
		}
	}
}

// Network is a part of an outage: a /24 of IPv4 or a /64 of IPv6.
type Network struct {
	Prefix netip.Prefix
	Lost   int
}

// maxNetworks bounds the list in an outage.
const maxNetworks = 16
