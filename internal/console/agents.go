package console

import (
	"bufio"
	"encoding/json"
	"net/http"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/view"
)

// Agents is the fleet, as /api/agents has it. With ?status=S it has only the
// agents in that status.
type Agents struct {
	Node   string       `json:"node"`
	Agents []view.Agent `json:"agents"`
}

func (c *console) agents(w http.ResponseWriter, r *http.Request) {
	only, all := detector.Status(0), true
	if name := r.URL.Query().Get("status"); name != "" {
		var ok bool
		if only, ok = detector.ParseStatus(name); !ok {
			http.Error(w, "status: want active, disconnected, pending or never_connected", http.StatusBadRequest)
			return
		}
		all = false
	}
	w.Header().Set("Content-Type", "application/json")
	out := bufio.NewWriterSize(w, 1<<16)
	defer out.Flush()
	node, _ := json.Marshal(c.node)
	_, _ = out.WriteString(`{"node":` + string(node) + `,"agents":[`)
	separator := "\n"
	for n, more := 0, true; more && r.Context().Err() == nil; n++ {
		var page []detector.Record
		page, more = c.fleet.Page(n)
		for i := range page {
			if !all && page[i].Status != only {
				continue
			}
			text, _ := json.Marshal(view.Of(&page[i], c.clock))
			_, _ = out.WriteString(separator)
			_, _ = out.Write(text)
			separator = ",\n"
		}
	}
	_, _ = out.WriteString("\n]}\n")
}
