package console

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/wazuh-pulse/pulse/internal/view"
)

// handleHealth answers whether the node does its work.
func (s *Server) handleHealth(w http.ResponseWriter, r *http.Request) {
	s.sendHealth(w, r, s.state.currentState().Health)
}

// handleReady answers whether the node can take agents.
func (s *Server) handleReady(w http.ResponseWriter, r *http.Request) {
	s.sendHealth(w, r, view.Health{Failures: s.state.currentState().NotReady})
}

// sendHealth answers 200 and ok, with the warnings in lines of their own, or 503
// with all that is wrong as JSON. Who has not shown the token hears yes or no.
func (s *Server) sendHealth(w http.ResponseWriter, r *http.Request, h view.Health) {
	if !s.hasToken(r) {
		h.Warnings = nil
		if len(h.Failures) > 0 {
			h.Failures = []string{"send the token to hear why"}
		}
	}
	if len(h.Failures) > 0 {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusServiceUnavailable)
		_ = json.NewEncoder(w).Encode(h)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = fmt.Fprintln(w, "ok")
	for _, warning := range h.Warnings {
		_, _ = fmt.Fprintln(w, "warning: "+warning)
	}
}
