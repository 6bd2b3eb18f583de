package detector

import (
	"net/netip"
	"time"
)

// Verdict is the kind of a decision.
type Verdict uint8

// The verdicts.
const (
	Send          Verdict = iota // send a keep-alive to the agent
	Acknowledged                 // the agent answered one, after RTT
	Failed                       // one was missed; Missed counts them
	ProbeHost                    // the agent's host is to be probed once, at Addr, and the result reported with ReportHost
	MovedAway                    // another node of the cluster, Node, has the agent: it is watched no more, and not lost
	Changed                      // the agent's status changed
	AlertReleased                // the alert of a change that was held is due: the agent is still away
	Escalated                    // the agent has been away for AwayFor, and so has reached a Step of Settings.EscalateAfter
	Flapping                     // the agent's status changes too often
	OutageBegan                  // a large part of the fleet was lost at once
	OutageEnded                  // most of it is back
	Resumed                      // the detector itself had been paused, for Pause
)

// IsRoutine reports whether a decision is about keep-alives or probes, or about an agent that
// another node has, and not about a status.
func (v Verdict) IsRoutine() bool { return v <= MovedAway }

// Decision is the result of a sighting, or of a passed deadline. Verdict, At and Time
// are always set, ID, Group, Name and IP if it is about one agent; the others depend on
// the verdict. A [Table] sets no times: a [Detector] converts the instants of a decision
// once, before it passes the decision on. Small fields stand together, because most of
// the cost of a keep-alive is to write its decisions.
type Decision struct {
	Verdict   Verdict
	From, To  Status // Changed, AlertReleased, Escalated, and all below unless it says otherwise
	Reason    Reason
	Part      Part       // Changed: how the agent counts in the current outage, also when it is back
	Seen      bool       // there was a sign of life ever
	Outage    bool       // a loss that is part of an outage
	Silenced  bool       // the agent is silenced
	AlertHeld bool       // Changed: no alert now; AlertReleased or Escalated follows unless the agent comes back
	Node      NodeNumber // MovedAway: the node that has the agent; Changed: the one that had it before; 0 for none

	At   Instant
	Time time.Time // of At

	ID    AgentID
	Token uint32 // Send, Acknowledged, Failed: the number of the keep-alive, which its answer carries; ProbeHost: of the probe
	Group int    // the agent's
	Name  string
	IP    string // the agent's address, or what it is registered under while that is unknown

	Interval     time.Duration // Send: the agent's keep-alive interval
	RTT          time.Duration // Acknowledged: from decision to answer
	Addr         netip.Addr    // ProbeHost
	Missed       int           // Failed and what is about a change: unanswered keep-alives in a row
	Info         Info          // what is known of the agent
	Evidence                   // of a loss or a shutdown; of other changes it is zero
	LastSeen     Instant       // of use only when Seen
	LastSeenTime time.Time     // of LastSeen; zero unless Seen
	AwayFor      time.Duration // Escalated: how long it has been away, in whole seconds, at least one
	Step         int           // Escalated: its number in EscalateAfter, from 1
	Changes      int           // Flapping: within the window; Changed: how many this one stands for, 0 for itself alone
	Fleet        *Fleet        // OutageBegan, OutageEnded
	Pause        time.Duration // Resumed
}

// setDecisionTimes sets the times of decisions, with one reading of the clock for all.
func (c *Clock) setDecisionTimes(decisions []Decision) {
	read := c.takeReading()
	for i := range decisions {
		d := &decisions[i]
		d.Time = read.timeOf(d.At)
		if d.Seen {
			d.LastSeenTime = read.timeOf(d.LastSeen)
		}
		if d.HostProbe != "" {
			d.HostProbedTime = read.timeOf(d.HostProbedAt)
		}
		if d.Fleet != nil {
			d.Fleet.SinceTime = read.timeOf(d.Fleet.Since)
		}
	}
}

// Status is an agent's state, with the numbers that messages carry.
type Status uint8

// The statuses, by Wazuh's names.
const (
	Active Status = iota
	Disconnected
	Pending
	NeverConnected
)

var statusNames = [...]string{"active", "disconnected", "pending", "never_connected"}

func (s Status) String() string { return statusNames[s] }

// ParseStatus parses a status by its Wazuh name.
func ParseStatus(name string) (Status, bool) {
	for s, n := range statusNames {
		if n == name {
			return Status(s), true
		}
	}
	return 0, false
}

// Reason is why a status changed.
type Reason uint8

// The reasons. NoReason is that of an agent whose status never changed.
const (
	NoReason         Reason = iota
	Startup                 // its startup message came
	Connected               // its first keep-alive ever came
	Reconnected             // a sign of life after it was away
	KeepAliveTimeout        // nothing at all for a whole timeout
	MissedKeepAlives        // too many unanswered keep-alives in a row
	ConnectionLost          // its connection closed and it did not come back in the grace
	AgentShutdown           // it announced its shutdown
	AgentRemoved            // it is no longer in the inventory
	AgentMoved              // it has come from another node; to Disconnected: another node watches it from now on
	NodeLost                // the node that had it is lost, and no other has it: no table decides that
)

var reasonNames = [...]string{"", "startup", "connected", "reconnected", "keepalive_timeout", "missed_keepalives",
	"connection_lost", "agent_shutdown", "agent_removed", "agent_moved", "node_lost"}

func (r Reason) String() string { return reasonNames[r] }

// ParseReason parses a reason by its name.
func ParseReason(name string) (Reason, bool) {
	for r, n := range reasonNames {
		if n == name {
			return Reason(r), true
		}
	}
	return 0, false
}

// isSilence reports whether the agent was given up only because there were no signs of
// life: then any sign of life makes it active again. After a shutdown or a lost
// connection that takes a startup or a keep-alive.
func (r Reason) isSilence() bool { return r == KeepAliveTimeout || r == MissedKeepAlives }

// IsLoss reports whether the agent was given up, and did not shut down or was
// removed.
func (r Reason) IsLoss() bool { return r.isSilence() || r == ConnectionLost }

// isRemoval reports whether the agent was removed from the table with a change to a status,
// which is no loss.
func (r Reason) isRemoval(to Status) bool {
	return to == Disconnected && (r == AgentRemoved || r == AgentMoved)
}
