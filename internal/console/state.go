package console

import (
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// State is how the node is doing.
type State struct {
	Shown    any // as JSON, at /api/v1/status
	Health   Health
	NotReady []string // why the node cannot take agents; none if it can
	Depth    uint64   // messages that wait for the XDR's NATS
	Sequence uint64   // of the last message
	Lateness detector.Histogram
}

// freshFor is for how long a state is good enough for the next who asks: each
// costs the embedded NATS server a look.
const freshFor = 500 * time.Millisecond

// cached asks for the state as seldom as will do.
type cached struct {
	ask   func() State
	mu    sync.Mutex
	value State
	asked time.Time
}

func (c *cached) get() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked.IsZero() || time.Since(c.asked) > freshFor {
		c.value, c.asked = c.ask(), time.Now()
	}
	return c.value
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(s.state.get().Shown)
}

// Summary is how the fleet and the node are, in short.
type Summary struct {
	At       time.Time `json:"at"`
	Agents   Counts    `json:"agents"`
	Outage   *Outage   `json:"outage"` // null: there is none
	Health   Health    `json:"health"`
	Node     any       `json:"node"` // what /api/v1/status shows
	Sequence uint64    `json:"sequence"`
	Point    Point     `json:"point"` // the last of the series
}

// Counts is the number of agents in each status.
type Counts struct {
	Active         int `json:"active"`
	Disconnected   int `json:"disconnected"`
	Pending        int `json:"pending"`
	NeverConnected int `json:"never_connected"`
}

func (s *Server) counts() Counts {
	n := s.cfg.Fleet.Counts()
	return Counts{n[detector.Active], n[detector.Disconnected], n[detector.Pending], n[detector.NeverConnected]}
}

func (s *Server) summary() Summary {
	now := s.state.get()
	return Summary{milli(time.Now()), s.counts(), showOutage(s.cfg.History.CurrentOutage()), now.Health, now.Shown, now.Sequence, s.chart.newest()}
}

const (
	samplePeriod = 5 * time.Second
	samplesKept  = 720 // an hour
)

// Point is the node at a moment.
type Point struct {
	At     time.Time `json:"at"`
	Agents Counts    `json:"agents"`
	Depth  uint64    `json:"outbox_depth"`
	Late   float64   `json:"sweep_late_ms"` // 99 % of the sweeps since the point before were no later
}

// series is the node over the last hour.
type series struct {
	mu     sync.Mutex
	points []Point
}

func (c *series) add(p Point) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.points) == samplesKept {
		c.points = slices.Delete(c.points, 0, 1)
	}
	c.points = append(c.points, p)
}

func (c *series) newest() Point {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.points) == 0 {
		return Point{At: milli(time.Now())}
	}
	return c.points[len(c.points)-1]
}

// Series is the node over the last hour, as /api/v1/series has it.
type Series struct {
	Node   string  `json:"node"`
	Period float64 `json:"period_s"` // between two points
	Points []Point `json:"points"`   // oldest first
}

func (s *Server) series(w http.ResponseWriter, _ *http.Request) {
	s.chart.mu.Lock()
	points := append([]Point{}, s.chart.points...)
	s.chart.mu.Unlock()
	answer(w, Series{s.cfg.Node, samplePeriod.Seconds(), points})
}

// sample takes a point from time to time until the server ends.
func (s *Server) sample() {
	every := time.NewTicker(samplePeriod)
	defer every.Stop()
	var before detector.Histogram
	for {
		now := s.state.get()
		since := now.Lateness.Since(&before)
		before = now.Lateness
		s.chart.add(Point{milli(time.Now()), s.counts(), now.Depth, float64(since.Quantile(.99).Microseconds()) / 1000})
		select {
		case <-every.C:
		case <-s.ctx.Done():
			return
		}
	}
}
