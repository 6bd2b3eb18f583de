package demo

import (
	"time"

	"github.com/wazuh-pulse/pulse/internal/agentsim"
)

// deed is what is done to an agent or to its host.
type deed struct {
	name     string // in the report
	failure  agentsim.Failure
	text     string        // what is printed about it
	recovery string        // the same, of the recovery
	lasts    time.Duration // until the recovery; 0: until some time after it is known
	alerts   bool          // it lasts until some time after its alert
	quiet    bool          // it is no alert
	silenced bool          // the agent is silenced before, for silenceTime
}

const (
	rebootTime = 3 * time.Second // of a host
	// workTime is how long a host is off for planned work: longer than escalateAfter. The
	// silence of its agent lasts until the agent is back, which takes up to 3 s beside a
	// manager.
	workTime    = 8 * time.Second
	silenceTime = 12 * time.Second
	// escalateAfter is when an agent that is away is an alert, whatever is known of it. A
	// reboot is over before.
	escalateAfter = 6 * time.Second
	// silentTime is how long a simulated host that does not answer is asked. It is half of
	// what a real one takes, as a busy machine runs agents and node together.
	silentTime = 400 * time.Millisecond
)

// deeds are done one after the other.
var deeds = []*deed{
	{name: "kill", failure: agentsim.Kill, text: "is killed: its process ends without a shutdown message, its host lives", recovery: "is started again"},
	{name: "reboot", failure: agentsim.PowerOff, text: "reboots with its host, for 3s", recovery: "is started again", lasts: rebootTime, quiet: true},
	{name: "planned", failure: agentsim.PowerOff, text: "is silenced for 12s, and its host switched off for planned work, for 8s", recovery: "is started again with its host",
		lasts: workTime, quiet: true, silenced: true},
	{name: "off", failure: agentsim.PowerOff, text: "is gone with its host: nothing answers there", recovery: "is started again with its host", alerts: true},
	{name: "hang", failure: agentsim.Hang, text: "hangs: its connection is open, and it sends nothing", recovery: "gets to work again"},
	{name: "cut", failure: agentsim.Cut, text: "is cut off from the network with its host", recovery: "has its network back"},
	{name: "shutdown", failure: agentsim.Shutdown, text: "is shut down properly", recovery: "is started again"},
}

func (d *deed) isReboot() bool { return d.lasts == rebootTime }

// mayEnd reports whether a failure may end now: after its time, or when it has been known
// for long enough, or, while messages are delayed, must have been detected.
func (f *failure) mayEnd(now time.Time, delayed bool, p *pace) bool {
	since := now.Sub(f.at)
	switch known := f.foundAt; {
	case f.deed.lasts > 0:
		return since >= f.deed.lasts
	case f.deed.alerts && f.alertAt.IsZero(), known.IsZero():
		return (delayed || !known.IsZero()) && since >= p.slowest+p.downTime
	case f.deed.alerts:
		return now.Sub(f.alertAt) >= p.downTime
	default:
		return now.Sub(known) >= p.downTime
	}
}
