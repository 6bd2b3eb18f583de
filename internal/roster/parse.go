package roster

import (
	"encoding/json"
	"fmt"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/outbox"
)

// latestStates returns the last state of each agent in a batch.
func (r *Roster) latestStates(batch []outbox.Stored) map[string]*event.AgentState {
	states := make(map[string]*event.AgentState, len(batch))
	for i := range batch {
		s, err := r.openMessage(batch[i].Data)
		if err != nil {
			if r.stats.unreadable.Add(1) == 1 {
				r.log.Error("a status change that cannot be read is left out of the roster", "subject", batch[i].Subject, "err", err)
			}
			continue
		}
		states[s.AgentID] = s
	}
	return states
}

func (r *Roster) openMessage(data []byte) (s *event.AgentState, err error) {
	if r.cfg.Open != nil {
		if data, err = r.cfg.Open(data); err != nil {
			return nil, err
		}
	}
	return parseMessage(data)
}

func parseMessage(data []byte) (*event.AgentState, error) {
	m, err := event.Parse(data)
	if err != nil {
		return nil, err
	}
	change, ok := m.(*event.StatusChangeMessage)
	if !ok {
		return nil, fmt.Errorf("a %T", m)
	}
	s := change.AgentState()
	return &s, checkState(&s)
}

func parseValue(data []byte) (*event.AgentState, error) {
	var s event.AgentState
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, err
	}
	return &s, checkState(&s)
}

func checkState(s *event.AgentState) error {
	switch {
	case !isAgentID(s.AgentID):
		return fmt.Errorf("agent %.20q", s.AgentID)
	case !s.Status.Valid():
		return fmt.Errorf("agent %s: status %d", s.AgentID, s.Status)
	case event.ValidNode(s.Node) != nil:
		return fmt.Errorf("agent %s: %w", s.AgentID, event.ValidNode(s.Node))
	}
	return nil
}

// isAgentID reports whether a key of the bucket is an agent's ID.
func isAgentID(id string) bool {
	if len(id) < 3 || len(id) > 10 {
		return false
	}
	for _, c := range []byte(id) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
