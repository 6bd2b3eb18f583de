package silencer

import (
	"maps"
	"sync"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/silence"
)

// maxMarks is how many agents are looked up one by one, at some microseconds each; for
// more, the fleet is read.
const maxMarks = 10_000

// marks are the agents that have changed since the last evaluation.
type marks struct {
	mu  sync.Mutex
	ids []detector.AgentID
	all bool // there were too many
}

func (m *marks) addMark(id detector.AgentID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all {
		return
	}
	if len(m.ids) == maxMarks {
		m.ids, m.all = nil, true
		return
	}
	m.ids = append(m.ids, id)
}

func (m *marks) takeMarks() (ids []detector.AgentID, all bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ids, all = m.ids, m.all
	m.ids, m.all = nil, false
	return ids, all
}

// MarkAgent has an agent evaluated whose address, groups or membership have changed. It
// costs next to nothing while nobody is silenced.
func (s *Silencer) MarkAgent(id detector.AgentID) {
	if !s.watching.Load() {
		return
	}
	s.marked.addMark(id)
	s.wake.Send()
}

// evaluateSelected evaluates the agents that silences which began or ended select.
func (s *Silencer) evaluateSelected(changed []*held) {
	selectors := make([]*silence.Selector, len(changed))
	for i, h := range changed {
		selectors[i] = &h.Selector
	}
	selected := silence.NewIndex(selectors)
	if listed := selected.ListedIDs(maxMarks); listed != nil {
		ids := make([]detector.AgentID, len(listed))
		for i, id := range listed {
			ids[i] = detector.AgentID(id)
		}
		s.evaluateAgents(ids, false)
		return
	}
	s.evaluatePages(selected.Selects)
}

// evaluateAgents evaluates agents, or all. Those that are gone are silenced no more: another
// agent may get the ID of one.
func (s *Silencer) evaluateAgents(ids []detector.AgentID, all bool) {
	if all {
		s.evaluateFleet()
		return
	}
	index := s.currentIndex()
	var changes []detector.Silenced
	for _, id := range ids {
		if r, ok := s.cfg.Fleet.Agent(id); ok {
			changes = s.appendChange(changes, index, &r, agentOf(&r))
		} else {
			changes = s.appendGone(changes, id)
		}
	}
	s.applyChanges(changes)
}

// evaluateFleet evaluates all agents.
func (s *Silencer) evaluateFleet() {
	gone := maps.Clone(s.agents)
	s.evaluatePages(func(a *silence.Agent) bool {
		delete(gone, detector.AgentID(a.ID))
		return true
	})
	var changes []detector.Silenced
	for id := range gone {
		changes = s.appendGone(changes, id)
	}
	s.applyChanges(changes)
}

// appendGone appends that an agent which is not in the fleet is silenced no more, unless it
// was not.
func (s *Silencer) appendGone(changes []detector.Silenced, id detector.AgentID) []detector.Silenced {
	if _, was := s.agents[id]; !was {
		return changes
	}
	delete(s.agents, id)
	return append(changes, detector.Silenced{ID: id})
}

// evaluatePages evaluates the agents of the fleet that a filter selects.
func (s *Silencer) evaluatePages(selects func(*silence.Agent) bool) {
	index := s.currentIndex()
	for n := 0; ; n++ {
		page, more := s.cfg.Fleet.Page(n)
		var changes []detector.Silenced
		for i := range page {
			if a := agentOf(&page[i]); selects(&a) {
				changes = s.appendChange(changes, index, &page[i], a)
			}
		}
		s.applyChanges(changes)
		if !more {
			return
		}
	}
}

func agentOf(r *detector.Record) silence.Agent {
	return silence.Agent{ID: uint32(r.ID), Name: r.Name, IP: r.IP, Groups: detector.ReadInfo(r.Info).Groups}
}

// appendChange appends whether an agent is silenced, unless the detector knows it.
func (s *Silencer) appendChange(changes []detector.Silenced, index *silence.Index, r *detector.Record, a silence.Agent) []detector.Silenced {
	on := index.Selects(&a)
	if _, was := s.agents[r.ID]; on == was && on == r.Silenced {
		return changes
	}
	if on {
		s.agents[r.ID] = struct{}{}
	} else {
		delete(s.agents, r.ID)
	}
	return append(changes, detector.Silenced{ID: r.ID, On: on})
}

func (s *Silencer) applyChanges(changes []detector.Silenced) {
	s.silenced.Store(int64(len(s.agents)))
	if len(changes) > 0 {
		s.cfg.Fleet.SetSilenced(changes)
	}
}

func (s *Silencer) currentIndex() *silence.Index {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.index
}

// countSelected returns how many agents of the fleet a selector selects now.
func (s *Silencer) countSelected(selector *silence.Selector) (n int) {
	index := silence.NewIndex([]*silence.Selector{selector})
	for i := 0; ; i++ {
		page, more := s.cfg.Fleet.Page(i)
		for j := range page {
			if a := agentOf(&page[j]); index.Selects(&a) {
				n++
			}
		}
		if !more {
			return n
		}
	}
}
