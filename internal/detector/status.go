package detector

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

// ParseStatus reads a status by its Wazuh name.
func ParseStatus(name string) (Status, bool) {
	for s, n := range statusNames {
		if n == name {
			return Status(s), true
		}
	}
	return 0, false
}

// Reason says why a status changed.
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
	AgentShutdown           // it said that it stops
	AgentRemoved            // it is no longer in the inventory
	AgentMoved              // another node watches it from now on
)

var reasonNames = [...]string{"", "startup", "connected", "reconnected", "keepalive_timeout", "missed_keepalives",
	"connection_lost", "agent_shutdown", "agent_removed", "agent_moved"}

func (r Reason) String() string { return reasonNames[r] }

// ParseReason reads a reason by its name.
func ParseReason(name string) (Reason, bool) {
	for r, n := range reasonNames {
		if n == name {
			return Reason(r), true
		}
	}
	return 0, false
}

// bySilence reports whether the agent was given up for want of signs of life
// only: then any sign of life brings it back, where one that said goodbye or
// lost its connection has to introduce itself again.
func (r Reason) bySilence() bool { return r == KeepAliveTimeout || r == MissedKeepAlives }

// IsLoss reports whether the agent was given up, and did not say goodbye or was
// removed.
func (r Reason) IsLoss() bool { return r.bySilence() || r == ConnectionLost }

// leaves reports whether the agent left the table, for which it is no loss.
func (r Reason) leaves() bool { return r == AgentRemoved || r == AgentMoved }
