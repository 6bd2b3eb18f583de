package roster

import (
	"encoding/json"
	"fmt"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/outbox"
)

// latest returns the last state of each agent in a batch.
func (r *Roster) latest(batch []outbox.Stored) map[string]*event.AgentState {
	states := make(map[string]*event.AgentState, len(batch))
	for i := range batch {
		s, err := r.readMessage(batch[i].Data)
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

func (r *Roster) readMessage(data []byte) (s *event.AgentState, err error) {
	if r.cfg.Open != nil {
		if data, err = r.cfg.Open(data); err != nil {
			return nil, err
		}
	}
	return readMessage(data)
}

func readMessage(data []byte) (*event.AgentState, error) {
	m, err := event.Parse(data)
	if err != nil {
		return nil, err
	}
	change, ok := m.(*event.StatusChangeMessage)
	if !ok {
		return nil, fmt.Errorf("a %T", m)
	}
	s := change.AgentState()
	return &s, check(&s)
}

func readValue(data []byte) (*event.AgentState, error) {
	var s event.AgentState
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, err
	}
	return &s, check(&s)
}

func check(s *event.AgentState) error {
	switch {
	case !validID(s.AgentID):
		return fmt.Errorf("agent %.20q", s.AgentID)
	case !s.Status.Valid():
		return fmt.Errorf("agent %s: status %d", s.AgentID, s.Status)
	case event.ValidNode(s.Node) != nil:
		return fmt.Errorf("agent %s: %w", s.AgentID, event.ValidNode(s.Node))
	}
	return nil
}

// validID says whether id, as a key of the bucket, is that of one agent.
func validID(id string) bool {
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
