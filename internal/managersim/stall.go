package managersim

import "sync"

// stall makes wazuh-db stop, or remoted of 5: requests wait and are handled when it
// resumes, with the time of that moment.
type stall struct {
	mu      sync.Mutex
	resumed chan struct{} // closed when it resumes; nil while it runs
	pending []func()      // of wazuh-db: remoted's writes meanwhile, in order
}

// StallDB stops wazuh-db, as a slow disk or a SIGSTOP does: its clients get no
// answer, and writes for agents' messages wait. ResumeDB ends it.
func (m *Manager) StallDB() { m.stall.begin() }

// ResumeDB resumes wazuh-db: it does all that waited, in order.
func (m *Manager) ResumeDB() {
	m.stall.end()
	m.changes.notifyAll()
}

func (s *stall) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.resumed == nil {
		s.resumed = make(chan struct{})
	}
}

func (s *stall) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.resumed == nil {
		return
	}
	for _, do := range s.pending {
		do()
	}
	close(s.resumed)
	s.resumed, s.pending = nil, nil
}

// HeldByStall returns how many agents' messages wait for wazuh-db.
func (m *Manager) HeldByStall() int {
	m.stall.mu.Lock()
	defer m.stall.mu.Unlock()
	return len(m.stall.pending)
}

// runWhenResumed runs f now, or when wazuh-db resumes.
func (s *stall) runWhenResumed(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.resumed != nil {
		s.pending = append(s.pending, f)
		return
	}
	f()
}

// waitWhileStalled returns when wazuh-db is not stalled, or quit is closed.
func (s *stall) waitWhileStalled(quit <-chan struct{}) {
	s.mu.Lock()
	over := s.resumed
	s.mu.Unlock()
	if over == nil {
		return
	}
	select {
	case <-over:
	case <-quit:
	}
}
