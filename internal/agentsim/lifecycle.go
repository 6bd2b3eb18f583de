package agentsim

import "fmt"

// Failure is a way for an agent to be lost.
type Failure uint8

const (
	// Shutdown stops the agent in order: it sends "#!-agent shutdown " and closes.
	Shutdown Failure = iota + 1
	// Kill ends the process without a message (kill -9, a crash): its connection closes.
	Kill
	// Hang stops the process (kill -STOP, an overloaded host): its connection
	// stays open, and it neither reads nor writes.
	Hang
	// Cut separates the agent from the network: the process runs, and nothing passes
	// in either direction. Over TCP the manager keeps an open, silent connection,
	// even after the agent has closed it and redials in vain.
	Cut
	// PowerOff ends the process as Kill does, and its host with it: nothing answers there.
	PowerOff
)

var failureNames = [...]string{Shutdown: "shutdown", Kill: "kill", Hang: "hang", Cut: "cut", PowerOff: "off"}

// String returns the failure's name, as [ParseFailure] reads it.
func (d Failure) String() string {
	if d < Shutdown || d > PowerOff {
		return fmt.Sprintf("death(%d)", uint8(d))
	}
	return failureNames[d]
}

// ParseFailure returns the failure with that name: shutdown, kill, hang, cut
// or off.
func ParseFailure(name string) (Failure, error) {
	for d := Shutdown; d <= PowerOff; d++ {
		if failureNames[d] == name {
			return d, nil
		}
	}
	return 0, fmt.Errorf("death %q: want shutdown, kill, hang, cut or off", name)
}

// lifecycle is the state of one agent as set by the fleet's methods. A cut is
// about the network and the rest about the process, so an agent can hang while
// its network is cut.
type lifecycle struct {
	over     bool   // the fleet's run is over
	stopped  bool   // no process
	hung     bool   // the process is stopped, but exists
	cut      bool   // no network
	off      bool   // no host
	shutdown bool   // the last process ended in order
	ended    uint32 // number of processes that ended: distinguishes a restart from a process that went on
	cuts     uint32 // number of cuts: distinguishes what came before the last from what came after
}

// withFailure returns the lifecycle after a failure. A process that has ended
// cannot end again or hang.
func (f lifecycle) withFailure(how Failure) lifecycle {
	switch {
	case how == Cut && f.cut:
	case how == Cut:
		f.cut = true
		f.cuts++
	case f.stopped:
		f.off = f.off || how == PowerOff
	case how == Hang:
		f.hung = true
	default:
		f.stopped, f.hung = true, false
		f.shutdown, f.off = how == Shutdown, how == PowerOff
		f.ended++
	}
	return f
}

// withNetwork returns the lifecycle with the network back.
func (f lifecycle) withNetwork() lifecycle {
	f.cut = false
	return f
}

// withRecovery returns the lifecycle with every failure undone.
func (f lifecycle) withRecovery() lifecycle {
	f.stopped, f.hung, f.cut, f.off = false, false, false, false
	return f
}

// withEnd returns the lifecycle at the end of the fleet's run. The first call
// decides whether the agent sends a shutdown message.
func (f lifecycle) withEnd(goodbye bool) lifecycle {
	if !f.over {
		f.over, f.shutdown = true, goodbye
	}
	return f
}
