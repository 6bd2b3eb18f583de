package console

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// handleMap answers with the whole fleet in as few bytes as will do, for the
// dashboard: {"node":…,"last_event_id":…,"groups":[…],"agents":[[id,name,ip,status,group],…]},
// where status is its number in messages and group the index in groups, -1 for none.
//
// The event is that before the first page was read: who follows from there
// misses nothing, and hears of some changes that the map has already.
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
	whole := s.scanFleet(r, func(page []detector.Record) {
		for i := range page {
			a := &page[i]
			text, _ := json.Marshal([]any{a.ID.String(), a.Name, a.IP, a.Status, a.Group - 1})
			_, _ = out.WriteString(separator)
			_, _ = out.Write(text)
			separator = ","
		}
	})
	if whole { // else it ends in the middle, which is no JSON
		_, _ = out.WriteString("]}\n")
	}
}
