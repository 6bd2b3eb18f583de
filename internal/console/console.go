// Package console is Pulse's HTTP side, for people and scripts on the manager's
// host: the fleet at /api/agents, the node at /api/status and its health at
// /healthz.
//
// It only reads. It owns no goroutine but those of net/http's server, and asks
// the detector page by page, so that a large fleet holds up nobody.
package console

import (
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// Fleet is where the console reads: the detector.
type Fleet interface {
	Page(n int) (page []detector.Record, more bool)
	Counts() [4]int
}

type console struct {
	node  string
	fleet Fleet
	clock *detector.Clock
	now   func() any
	ill   func() Health
}

// New returns a server that is ready to serve a listener. What status returns
// is shown as JSON; what health returns decides on /healthz.
func New(node string, fleet Fleet, clock *detector.Clock, status func() any, health func() Health) *http.Server {
	c := &console{node, fleet, clock, status, health}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/agents", c.agents)
	mux.HandleFunc("GET /api/status", c.status)
	mux.HandleFunc("GET /healthz", c.health)
	return &http.Server{Handler: named(mux), ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 5 * time.Minute,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
}

// named refuses requests that name this host by a domain: a web page whose
// domain resolves to the loopback address could read the fleet through its
// visitor's browser (DNS rebinding).
func named(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil { // without a port
			host = strings.TrimSuffix(strings.TrimPrefix(r.Host, "["), "]")
		}
		if _, err := netip.ParseAddr(host); err != nil && host != "localhost" {
			http.Error(w, "name this host by its address", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (c *console) status(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(c.now())
}
