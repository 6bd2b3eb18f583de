package console

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/view"
)

// handleMap answers with the whole fleet in as few bytes as will do, for the
// dashboard: {"node":…,"last_event_id":…,"groups":[…],"agents":[[id,name,ip,status,group],…]},
// where status is its number in messages and group the index in groups, -1 for none.
//
// The event is the last before the first page was read: a client that reads the events
// after it misses none, and gets some that the map has already.
func (s *Server) handleMap(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Vary", "Accept-Encoding")
	out := bufio.NewWriterSize(w, 1<<16)
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		packed, _ := gzip.NewWriterLevel(w, gzip.BestSpeed)
		defer packed.Close()
		out.Reset(packed)
	}
	defer out.Flush()
	head, _ := json.Marshal(struct {
		Node   string   `json:"node"`
		Last   string   `json:"last_event_id"`
		Groups []string `json:"groups"`
	}{s.cfg.Node, strconv.FormatUint(s.cfg.Epoch, 10) + "-" + strconv.FormatUint(s.cfg.History.LastSequence(), 10), append([]string{}, s.groupNames()...)})
	_, _ = out.Write(head[:len(head)-1])
	_, _ = out.WriteString(`,"agents":[`)
	separator := ""
	whole := s.runScan(r, func(ctx context.Context) error {
		return view.ReadFleet(ctx, s.cfg.Fleet, func(page []detector.Record) {
			for i := range page {
				a := &page[i]
				text, _ := json.Marshal([]any{a.ID.String(), a.Name, a.IP, a.Status, a.Group - 1})
				_, _ = out.WriteString(separator)
				_, _ = out.Write(text)
				separator = ","
			}
		})
	})
	if whole { // else it ends in the middle, which is no JSON
		_, _ = out.WriteString("]}\n")
	}
}
