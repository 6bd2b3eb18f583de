package console

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// Health is what is wrong with the node: nothing, when it is well.
type Health struct {
	Failures []string `json:"failures"` // it does not do its work
	Warnings []string `json:"warnings"` // it does, and somebody should look
}

// MarshalJSON writes empty lists as such.
func (h Health) MarshalJSON() ([]byte, error) {
	type lists Health
	return json.Marshal(lists{append([]string{}, h.Failures...), append([]string{}, h.Warnings...)})
}

// health answers 200 and ok, with the warnings in lines of their own, or 503
// with all that is wrong as JSON.
func (c *console) health(w http.ResponseWriter, _ *http.Request) {
	h := c.ill()
	if len(h.Failures) > 0 {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusServiceUnavailable)
		_ = json.NewEncoder(w).Encode(h)
		return
	}
	_, _ = fmt.Fprintln(w, "ok")
	for _, warning := range h.Warnings {
		_, _ = fmt.Fprintln(w, "warning: "+warning)
	}
}
