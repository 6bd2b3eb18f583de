package agentsim

// ending says why a conversation was over.
type ending uint8

const (
	goOn       ending = iota // it is not
	dead                     // the process ended, or the run
	refused                  // no connection, or closed before the startup was acknowledged
	unanswered               // the startup was not acknowledged in time
	lost                     // the manager, or the network, closed the connection
	silent                   // nothing heard for Config.Reconnect
	forced                   // the manager asked for a new connection
	endings
)

// String returns the ending in words, for the log.
func (e ending) String() string {
	return [endings]string{"goes on", "process ended", "refused", "startup unanswered",
		"connection lost", "manager silent", "reconnect requested"}[e]
}

// broken says what it means that the connection cannot be used any more.
func (s *session) broken() ending {
	switch f := s.look(); {
	case f.over || f.deaths != s.deaths:
		return dead
	case !s.isConnected():
		return refused
	}
	return lost
}

func (s *session) isConnected() bool { return stage(s.stage.Load()) == connected }
