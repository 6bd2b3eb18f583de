package detector

import "net/netip"

// Kind says what was seen of an agent.
type Kind uint8

// The kinds of sighting. All but the last two are signs of life.
const (
	SawEvent     Kind = iota // any message that is none of the below
	SawKeepAlive             // the agent's own keep-alive
	SawAnswer                // its answer to the keep-alive with the sighting's Token
	SawStartup               // it introduced itself
	SawShutdown              // it said that it stops
	SawClosed                // its connection closed
	Unsent                   // nothing: the keep-alive with the sighting's Token has not left the link yet
)

// Sighting is any proof about an agent.
type Sighting struct {
	At    Instant
	Addr  netip.Addr // where the agent is, if known
	ID    AgentID
	Token uint32 // of an answer: the keep-alive it answers
	Kind  Kind
}

// urgent sightings are worth waking the detector for at once.
func (k Kind) urgent() bool { return k >= SawStartup && k <= SawClosed }
