package console

import (
	"bufio"
	"encoding/json"
	"net/http"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// Agent is one agent of the fleet.
type Agent struct {
	ID       string     `json:"id"`
	Name     string     `json:"name"`
	IP       string     `json:"ip"`
	Status   string     `json:"status"`              // active, disconnected, pending or never_connected
	Reason   string     `json:"reason,omitempty"`    // of the last change
	Since    time.Time  `json:"since"`               // when the status changed last
	LastSeen *time.Time `json:"last_seen,omitempty"` // the last sign of life
	Missed   int        `json:"missed"`              // unanswered keep-alives in a row
	RTT      *float64   `json:"rtt_ms,omitempty"`    // of the last answered keep-alive, milliseconds
}

// Agents is the fleet, as /api/agents has it. With ?status=S it has only the
// agents in that status.
type Agents struct {
	Node   string  `json:"node"`
	Agents []Agent `json:"agents"`
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
			text, _ := json.Marshal(c.agent(&page[i]))
			_, _ = out.WriteString(separator)
			_, _ = out.Write(text)
			separator = ",\n"
		}
	}
	_, _ = out.WriteString("\n]}\n")
}

func (c *console) agent(r *detector.Record) Agent {
	a := Agent{ID: r.ID.String(), Name: r.Name, IP: r.IP, Status: r.Status.String(), Reason: r.Reason.String(),
		Since: c.clock.Time(r.Since).UTC().Truncate(time.Millisecond), Missed: r.Missed}
	if r.Seen {
		seen := c.clock.Time(r.LastSeen).UTC().Truncate(time.Millisecond)
		a.LastSeen = &seen
	}
	if r.RTT > 0 {
		ms := float64(r.RTT.Round(time.Microsecond)) / float64(time.Millisecond)
		a.RTT = &ms
	}
	return a
}
