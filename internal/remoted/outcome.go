package remoted

import (
	"encoding/json"
	"fmt"
)

// Outcome is what became of a request to an agent.
type Outcome uint8

const (
	Answered     Outcome = iota
	NotConnected         // remoted has no connection to the agent
	Silent               // the agent did not answer in remoted's time
	UnknownAgent         // remoted closed the connection without an answer
	Invalid              // an answer that is none
	Busy                 // remoted did not take the request, or not in time
	Absent               // remoted does not run
	outcomes
)

var outcomeNames = [outcomes]string{"answered", "not_connected", "silent", "unknown_agent", "odd_answer", "busy", "no_remoted"}

func (o Outcome) String() string { return outcomeNames[o] }

// OutcomeCounts are numbers of requests by their outcome.
type OutcomeCounts [outcomes]int64

// parseState parses the answer to a request: the agent's, or what remoted sends instead.
func parseState(answer []byte) (Outcome, error) {
	if len(answer) > 0 && answer[0] == '{' {
		var state struct {
			Error *int `json:"error"`
		}
		if err := json.Unmarshal(answer, &state); err != nil || state.Error == nil {
			return Invalid, fmt.Errorf("an answer that is no state: %.60q", answer)
		}
		return Answered, nil
	}
	switch text := string(answer); {
	case text == "err Cannot send request":
		return NotConnected, nil
	case text == "err Response timeout", text == "err Maximum attempts exceeded": // over TCP, and over UDP
		return Silent, nil
	case text == "err Unrecognized command": // an agent too old for this command; its answer is a sign of life
		return Answered, nil
	default:
		return Invalid, fmt.Errorf("an answer that is none: %.60q", text)
	}
}
