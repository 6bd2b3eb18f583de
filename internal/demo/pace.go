package demo

import (
	"slices"
	"time"
)

// pace is how soon things happen in a demo.
type pace struct {
	slowest  time.Duration // the longest that a failure may stay undetected
	first    time.Duration // from when all agents are active until the first failure
	pause    time.Duration // between two failures
	downTime time.Duration // from the message about a failure to the recovery
	written  time.Duration // the longest until a loss is written to the manager
	deeds    []*deed
}

var pace4 = pace{slowest: slowest, first: firstFailure, pause: failurePause, downTime: downTime, written: writeBackTime, deeds: deeds}

// Beside a manager of Wazuh 5 an agent of 5 is seen only when the manager writes one of its
// keep-alives: once in a throttle, which the demo's manager has much shorter than one as
// shipped. Pulse adds what a keep-alive may be late and a margin, which the demo does
// not shorten.
const (
	Throttle5        = 3 * time.Second // that a manager of Config.StartManager has to have
	shippedThrottle5 = time.Minute
	startHold5       = 20 * time.Second
	lossAfter5       = 20 * time.Second // beside the throttle: Pulse's own
)

// pace5 is for failures that are known half a minute later. Each manager of 5 is the node of
// a cluster, where a loss waits for 20 s before it is written. A reboot is over before
// anything is known of it.
// For startHold5 more after its start, Pulse gives up no agent of 5 on a master.
var pace5 = pace{slowest: Throttle5 + lossAfter5 + escalateAfter + 3*time.Second, first: firstFailure + startHold5, pause: 2500 * time.Millisecond,
	downTime: 24 * time.Second, written: 23 * time.Second,
	deeds: slices.DeleteFunc(slices.Clone(deeds), func(d *deed) bool { return d.quiet })}

// pace returns the pace of this demo.
func (s *environment) pace() *pace {
	if s.host != nil && s.host.of5 {
		return &pace5
	}
	return &pace4
}
