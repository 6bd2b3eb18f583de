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

// ProbeWait is for how long a loss waits for its HostReport.
const ProbeWait = time.Second

// ReportHost reports the result of a probe. Any goroutine may call it. A report that no
// decision asked for, or that is late, changes nothing.
func (d *Detector) ReportHost(r HostReport) {
	d.inbox.addCall(r.At, func(t *Table, now Instant) {
		r.At = min(r.At, now)
		t.ReportHost(r)
	})
}

// ReportHost applies the result of a probe.
func (t *Table) ReportHost(HostReport) {}
