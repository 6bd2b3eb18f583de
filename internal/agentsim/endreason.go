package agentsim

// endReason is the reason for the end of a session.
type endReason uint8

const (
	notEnded     endReason = iota // it goes on
	processEnded                  // the process ended, or the run
	refused                       // no connection, or closed before the startup was acknowledged
	unanswered                    // the startup was not acknowledged in time
	lost                          // the manager, or the network, closed the connection
	silent                        // no message for Config.Reconnect
	forced                        // the manager asked for a new connection
	endReasons
)

// String returns the reason as text for the log.
func (e endReason) String() string {
	return [endReasons]string{"goes on", "process ended", "refused", "startup unanswered",
		"connection lost", "manager silent", "reconnect requested"}[e]
}

// brokenReason returns the reason for a connection that failed.
func (s *session) brokenReason() endReason {
	switch f := s.currentLifecycle(); {
	case f.over || f.ended != s.ended:
		return processEnded
	case !s.isConnected():
		return refused
	}
	return lost
}

func (s *session) isConnected() bool { return stage(s.stage.Load()) == connected }
