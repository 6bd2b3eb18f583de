package detector

import "time"

// Verdict says what kind of decision a Decision is.
type Verdict uint8

// The verdicts.
const (
	Send         Verdict = iota // send a keep-alive to the agent
	Acknowledged                // the agent answered one, after RTT
	Failed                      // one was missed; Missed counts them
	Changed                     // the agent's status changed
)

// Decision is what follows from a sighting, or from the lack of one. Which
// fields are set besides the first five depends on the verdict.
type Decision struct {
	Verdict Verdict
	At      Instant
	ID      AgentID
	Name    string
	IP      string // the agent's address, or what it is registered under while that is unknown

	Token    uint32        // Send, Acknowledged: names the keep-alive, so that its answer can be told
	Interval time.Duration // Send: the agent's keep-alive interval
	RTT      time.Duration // Acknowledged: from decision to answer
	Missed   int           // Failed, Changed: unanswered keep-alives in a row
	From, To Status        // Changed
	Reason   Reason        // Changed
}
