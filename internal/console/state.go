package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/view"
)

// State is the node's state.
type State struct {
	Shown    any // as JSON, at /api/v1/status
	Health   view.Health
	NotReady []string // why the node cannot take agents; none if it can
	Depth    uint64   // messages that wait for the XDR's NATS
	Sequence uint64   // of the last message
	Lateness detector.Histogram
}

// maxStateAge is how old a state may be when it is asked for. Reading it queries the embedded NATS server.
const maxStateAge = 100 * time.Millisecond

// stateCache reads the state at most once in maxStateAge.
type stateCache struct {
	read    func() State
	mu      sync.Mutex
	value   State
	begunAt time.Time // when the read of value began
}

// currentNodeState returns a state that was read maxStateAge before the call or later.
func (c *stateCache) currentNodeState() State {
	oldest := time.Now().Add(-maxStateAge)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.begunAt.Before(oldest) {
		c.begunAt = time.Now() // before it is read, which may take a second
		c.value = c.read()
	}
	return c.value
}

func (s *Server) handleStatus(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(s.state.currentNodeState().Shown)
}

func (s *Server) handleNodes(w http.ResponseWriter, _ *http.Request) { sendJSON(w, s.cfg.Nodes()) }

func (s *Server) newFleetSummary() view.Summary {
	now, silences := s.state.currentNodeState(), s.cfg.Silences.Figures()
	var cluster *view.NodeList
	if list := s.cfg.Nodes(); list.Cluster {
		cluster = &list
	}
	return view.Summary{Cluster: cluster, SilencesActive: silences.Active, AgentsSilenced: silences.Agents,
		At: view.TruncateTime(time.Now()), Agents: view.CountAgents(s.cfg.Fleet.Counts()), Outage: view.NewOutage(s.cfg.History.CurrentOutage()),
		Health: now.Health, Node: now.Shown, Sequence: now.Sequence, Point: s.samples.newestSamplePoint()}
}

const (
	samplePeriod = 5 * time.Second
	maxSamples   = 720 // an hour
)

// sampleSeries holds the points of the last hour.
type sampleSeries struct {
	mu     sync.Mutex
	points []view.Point
}

func (c *sampleSeries) addSamplePoint(p view.Point) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.points) == maxSamples {
		c.points = slices.Delete(c.points, 0, 1)
	}
	c.points = append(c.points, p)
}

func (c *sampleSeries) newestSamplePoint() view.Point {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.points) == 0 {
		return view.Point{At: view.TruncateTime(time.Now())}
	}
	return c.points[len(c.points)-1]
}

// Series is the node over the last hour, as /api/v1/series has it.
type Series struct {
	Node   string       `json:"node"`
	Period float64      `json:"period_s"` // between two points
	Points []view.Point `json:"points"`   // oldest first
}

func (s *Server) handleSampleSeries(w http.ResponseWriter, _ *http.Request) {
	s.samples.mu.Lock()
	points := append([]view.Point{}, s.samples.points...)
	s.samples.mu.Unlock()
	sendJSON(w, Series{s.cfg.Node, samplePeriod.Seconds(), points})
}

// recordSamples adds a point every samplePeriod until the server ends.
func (s *Server) recordSamples() {
	every := time.NewTicker(samplePeriod)
	defer every.Stop()
	var before detector.Histogram
	for {
		now := s.state.currentNodeState()
		s.day.addPoint(time.Now(), s.cfg.Fleet.Counts().ByStatus)
		since := now.Lateness.Since(&before)
		before = now.Lateness
		s.samples.addSamplePoint(view.Point{At: view.TruncateTime(time.Now()), Agents: view.CountAgents(s.cfg.Fleet.Counts()), Depth: now.Depth, Late: float64(since.Quantile(.99).Microseconds()) / 1000})
		select {
		case <-every.C:
		case <-s.ctx.Done():
			return
		}
	}
}

// handleHealth answers whether the node works.
func (s *Server) handleHealth(w http.ResponseWriter, r *http.Request) {
	s.sendHealthAnswer(w, r, s.state.currentNodeState().Health)
}

// handleReady answers whether the node can accept agents.
func (s *Server) handleReady(w http.ResponseWriter, r *http.Request) {
	s.sendHealthAnswer(w, r, view.Health{Failures: s.state.currentNodeState().NotReady})
}

// sendHealthAnswer answers 200 and ok, with the warnings in lines of their own, or 503
// with all failures as JSON. Without the token the answer has no reasons.
func (s *Server) sendHealthAnswer(w http.ResponseWriter, r *http.Request, h view.Health) {
	if !s.hasValidToken(r) {
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
