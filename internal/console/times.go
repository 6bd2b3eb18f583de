package console

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/view"
)

// handleFleetTimes answers with what the map lacks, since it changes all the time:
// {"node":…,"agents":[[id,since,last_seen],…]}, in seconds since 1970, where last_seen is 0
// for an agent of which there was no sign of life.
func (s *Server) handleFleetTimes(w http.ResponseWriter, r *http.Request) {
	out, finish := newPackedWriter(w, r)
	defer finish()
	name, _ := json.Marshal(s.cfg.Node)
	_, _ = fmt.Fprintf(out, `{"node":%s,"agents":[`, name)
	separator := ""
	whole := s.runFleetScan(r, func(ctx context.Context) error {
		return view.ReadFleet(ctx, s.cfg.Fleet, func(page []detector.Record) {
			for i := range page {
				a := &page[i]
				var seen int64
				if a.Seen {
					seen = s.cfg.Clock.Time(a.LastSeen).Unix()
				}
				_, _ = fmt.Fprintf(out, `%s["%v",%d,%d]`, separator, a.ID, s.cfg.Clock.Time(a.Since).Unix(), seen)
				separator = ","
			}
		})
	})
	if whole { // otherwise it is cut off, and no JSON
		_, _ = out.WriteString("]}\n")
	}
}

// newPackedWriter returns a writer of a large answer of JSON, which is packed if the client
// can unpack it, and a function that ends the answer.
func newPackedWriter(w http.ResponseWriter, r *http.Request) (out *bufio.Writer, finish func()) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Vary", "Accept-Encoding")
	out = bufio.NewWriterSize(w, 1<<16)
	if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		return out, func() { _ = out.Flush() }
	}
	w.Header().Set("Content-Encoding", "gzip")
	packed, _ := gzip.NewWriterLevel(w, gzip.BestSpeed)
	out.Reset(packed)
	return out, func() {
		_ = out.Flush()
		_ = packed.Close()
	}
}
