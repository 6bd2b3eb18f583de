package managersim

import "sync"

// stall is a wazuh-db that stands still: what it is asked waits, and is done when it
// goes on, with the time of that moment.
type stall struct {
	mu    sync.Mutex
	over  chan struct{} // closed when it goes on; nil while it runs
	later []func()      // what remoted has for it meanwhile, in order
}

// StallDB makes wazuh-db stand still, as a slow disk or a SIGSTOP does: its clients get no
// answer, and what agents send waits to be written down. ResumeDB lets it go on.
func (m *Manager) StallDB() {
	m.stall.mu.Lock()
	defer m.stall.mu.Unlock()
	if m.stall.over == nil {
		m.stall.over = make(chan struct{})
	}
}

// ResumeDB lets wazuh-db go on: it does all that waited, in order.
func (m *Manager) ResumeDB() {
	m.stall.mu.Lock()
	defer m.stall.mu.Unlock()
	if m.stall.over == nil {
		return
	}
	for _, do := range m.stall.later {
		do()
	}
	close(m.stall.over)
	m.stall.over, m.stall.later = nil, nil
	m.bell.ring()
}

// HeldByStall is how many messages of agents wait for wazuh-db.
func (m *Manager) HeldByStall() int {
	m.stall.mu.Lock()
	defer m.stall.mu.Unlock()
	return len(m.stall.later)
}

// do runs f now, or when wazuh-db goes on.
func (s *stall) do(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over != nil {
		s.later = append(s.later, f)
		return
	}
	f()
}

// wait returns when wazuh-db does not stand still, or quit is closed.
func (s *stall) wait(quit <-chan struct{}) {
	s.mu.Lock()
	over := s.over
	s.mu.Unlock()
	if over == nil {
		return
	}
	select {
	case <-over:
	case <-quit:
	}
}
