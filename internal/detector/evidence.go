package detector

import "time"

// Host is what is known of the host of an agent that is away.
type Host uint8

// What is known of it.
const (
	HostUnknown Host = iota // it was not probed, or that found nothing
	HostAnswers
	HostSilent
)

var hostNames = [...]string{"unknown", "answers", "silent"}

func (h Host) String() string { return hostNames[h] }

// ParseHost parses a host's state by its name.
func ParseHost(name string) (Host, bool) {
	for h, n := range hostNames {
		if n == name {
			return Host(h), true
		}
	}
	return 0, false
}

// Evidence is what a loss was decided by.
type Evidence struct {
	Closed         bool          // its connection had closed
	SilentFor      time.Duration // from its last sign of life to the loss; 0 if there never was one
	Host           Host
	HostProbe      string    // how the host was probed; empty if it was not
	HostProbedAt   Instant   // of use only when HostProbe is not empty
	HostProbedTime time.Time // of HostProbedAt
}

// HostReport is the result of the probe that a ProbeHost decision asked for.
type HostReport struct {
	ID    AgentID
	Token uint32 // the decision's
	At    Instant
	Host  Host
	Probe string // how it was found, such as "icmp" or "tcp:22 refused"
}

// evidenceOf returns the evidence of an agent's loss or shutdown. Seen reports whether its
// last sign of life is known.
func (t *Table) evidenceOf(slot int32, seen bool) (e Evidence) {
	s := &t.state[slot]
	if s.status != Disconnected || s.reason.isRemoval(s.status) {
		return e
	}
	e.Closed = s.has(lostClosed)
	if seen {
		e.SilentFor = max(0, t.identities[slot].since.Sub(s.lastSeen))
	}
	if s.has(hasHostProbe) {
		p := t.probes.byAgent[slot]
		e.Host, e.HostProbe, e.HostProbedAt = p.host, p.how, p.found
	}
	return e
}

// restoreEvidence restores the evidence of an agent that is away.
func (t *Table) restoreEvidence(slot int32, e *Evidence, reason Reason) {
	s := &t.state[slot]
	if e.Closed || reason == ConnectionLost {
		s.flags |= lostClosed
	}
	if e.Host != HostUnknown || e.HostProbe != "" {
		p := t.addHostProbe(slot, 0)
		p.settled, p.host, p.how, p.found = true, e.Host, e.HostProbe, e.HostProbedAt
	}
}
