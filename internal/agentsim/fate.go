package agentsim

import "fmt"

// Death is a way for an agent to be lost.
type Death uint8

const (
	// Shutdown stops the agent on purpose: it says "#!-agent shutdown " and closes.
	Shutdown Death = iota + 1
	// Kill ends the process without a word (kill -9, a crash): its connection closes.
	Kill
	// Hang stops the process (kill -STOP, an overloaded host): its connection
	// stays open, and it neither reads nor writes.
	Hang
	// Cut parts the agent from the network: the process lives, and nothing passes
	// in either direction. Over TCP the manager keeps an open, silent connection,
	// even after the agent itself has given it up and redials in vain.
	Cut
)

var deathNames = [...]string{Shutdown: "shutdown", Kill: "kill", Hang: "hang", Cut: "cut"}

// String returns the death's name, as [ParseDeath] reads it.
func (d Death) String() string {
	if d < Shutdown || d > Cut {
		return fmt.Sprintf("death(%d)", uint8(d))
	}
	return deathNames[d]
}

// ParseDeath returns the death of that name: shutdown, kill, hang or cut.
func ParseDeath(name string) (Death, error) {
	for d := Shutdown; d <= Cut; d++ {
		if deathNames[d] == name {
			return d, nil
		}
	}
	return 0, fmt.Errorf("death %q: want shutdown, kill, hang or cut", name)
}

// fate is what the world has done to one agent. A cut is about the network and
// the rest about the process, so an agent can be hung behind a cut network.
type fate struct {
	over    bool   // the fleet's run is over
	stopped bool   // no process
	hung    bool   // a process that gets no time
	cut     bool   // no network
	goodbye bool   // the last process to end said so
	deaths  uint32 // processes ended so far: tells a restart from a process that went on
	cuts    uint32 // cuts so far: tells what came before the last from what came after
}

// die is the fate after a death. A process that ended cannot end again or hang.
func (f fate) die(how Death) fate {
	switch {
	case how == Cut && f.cut:
	case how == Cut:
		f.cut = true
		f.cuts++
	case f.stopped:
	case how == Hang:
		f.hung = true
	default:
		f.stopped, f.hung = true, false
		f.goodbye = how == Shutdown
		f.deaths++
	}
	return f
}

// heal is the fate with the network back.
func (f fate) heal() fate {
	f.cut = false
	return f
}

// revive is the fate with every death undone.
func (f fate) revive() fate {
	f.stopped, f.hung, f.cut = false, false, false
	return f
}

// end is the fate when the fleet's run is over; the first call decides whether
// the agent says goodbye.
func (f fate) end(goodbye bool) fate {
	if !f.over {
		f.over, f.goodbye = true, goodbye
	}
	return f
}
