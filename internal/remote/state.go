package remote

import "time"

// State is the state of the connection to the server.
type State struct {
	Connected     bool      `json:"connected"`      // connected, and the server works
	Unavailable   bool      `json:"unavailable"`    // it failed Config.MaxReconnects times in a row
	Since         time.Time `json:"since"`          // when one of these two changed last
	Problem       string    `json:"problem"`        // the [Problem] or several, separated by commas, while it is not connected; may be ""
	Errors        uint64    `json:"errors"`         // failures since the start
	LoginsRefused uint64    `json:"logins_refused"` // logins that a server refused or revoked since the start, client certificates among them
}

// State returns the present state.
func (r *Remote) State() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.currentState()
}

func (r *Remote) currentState() State {
	s := State{Connected: r.current != nil && r.failures == 0, Unavailable: r.failures >= max(r.cfg.MaxReconnects, 1),
		Since: r.since, Errors: r.errors, LoginsRefused: r.refused}
	if !s.Connected {
		s.Problem = r.problem
	}
	return s
}

// updateSince stores the time if the state differs from before.
func (r *Remote) updateSince(before State) {
	if now := r.currentState(); now.Connected != before.Connected || now.Unavailable != before.Unavailable {
		r.since = time.Now()
	}
}
