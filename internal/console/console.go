// Package console serves HTTP for people, scripts and Prometheus: the
// dashboard at /, the API under /api/v1 (described by /api/v1/openapi.json),
// metrics at /metrics, and the node's health at /healthz and /readyz.
//
// It only reads, except that a client may request a keep-alive to an agent, and add and
// end silences. On
// loopback it has no password; elsewhere it has TLS and a token (see [Config]).
// Requests from other web pages are refused everywhere (guard.go).
//
// [Server.Serve] owns net/http's goroutines, one that samples the node's state every few
// seconds, one that reads the last day from disk once, and those that watch the files of the token and the certificate; [Server.Close] ends them all and waits. The detector is read
// page by page, so that a large fleet does not block it.
package console

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/wazuh-pulse/pulse/internal/connlimit"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/history"
	"github.com/wazuh-pulse/pulse/internal/view"
	"golang.org/x/time/rate"
)

// Fleet is the detector, or the fleet of a cluster.
type Fleet interface {
	Page(n int) (page []detector.Record, more bool)
	Agent(id detector.AgentID) (detector.Record, bool)
	Ping(ctx context.Context, id detector.AgentID) (detector.Answer, error)
	Counts() detector.Counts
}

// Config configures a server.
type Config struct {
	Node    string
	Version string
	Epoch   uint64 // of this run of the node
	Fleet   Fleet
	Clock   *detector.Clock
	History *history.History
	Groups  []string // the names of the groups of agents, by detector.Record.Group - 1
	State   func() State
	Nodes   func() view.NodeList // of the cluster; this one alone outside one
	Metrics prometheus.Gatherer

	Silences Silences

	// ReadChanges calls each with the status changes since a time that are on disk, oldest first:
	// of one agent, or, for nil, of all in earlier runs of the node. It returns since when nothing
	// is left out. Nil without a store.
	ReadChanges func(ctx context.Context, since time.Time, id *detector.AgentID, each func(*history.Event)) (from time.Time, err error)

	Refused func(from, reason string) // is called for every refused request; nil for none

	WazuhDashboard string // where Wazuh's dashboard is, https:// or http://; empty for nowhere

	TokenFile, CertFile, KeyFile string // all or none; files that change are read again
	Log                          *slog.Logger
}

// Server serves the console of a node. See [New].
type Server struct {
	cfg           Config
	http          *http.Server
	ctx           context.Context // ends with Close
	stop          context.CancelFunc
	requests      sync.WaitGroup    // requests under way
	requestsMu    sync.Mutex        // held while requests grows
	tokenFile     *tokenFile        // nil for none
	certFiles     *certificateFiles // nil for none
	state         stateCache
	samples       sampleSeries
	day           dayCounts
	restored      restoredFleet
	groups        atomic.Pointer[[]string] // names
	pingRate      *rate.Limiter
	silenceRate   *rate.Limiter // of changes of silences
	scanSlots     chan struct{} // readers of the whole fleet
	pingSlots     chan struct{} // pings under way
	silenceSlots  chan struct{} // changes of silences under way
	subscriptions subscriptions // of events
}

const (
	maxScans       = 4  // each page interrupts the detector for a moment
	maxPings       = 16 // at a time
	pingsPerSecond = 5  // of all clients
	pingBurst      = 20
)

// New returns a server that is ready to serve a listener, of a fleet that is as the run before
// has left it. Files that cannot be used are an error.
func New(cfg Config) (*Server, error) {
	s := &Server{cfg: cfg, pingRate: rate.NewLimiter(pingsPerSecond, pingBurst), silenceRate: rate.NewLimiter(silencesPerSecond, silenceBurst), scanSlots: make(chan struct{}, maxScans),
		pingSlots: make(chan struct{}, maxPings), silenceSlots: make(chan struct{}, maxSilenceChanges)}
	s.state.read = cfg.State
	s.restored = restoredFleet{time.Now(), cfg.Fleet.Counts().ByStatus}
	s.SetGroups(cfg.Groups)
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.http = &http.Server{Handler: s.guardRequests(s.newRequestHandler()), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: time.Minute,
		WriteTimeout: 5 * time.Minute, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ConnContext: withConnection, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)} // clients' errors are not logged
	var err error
	if cfg.TokenFile != "" {
		if s.tokenFile, err = openTokenFile(cfg.TokenFile, cfg.Log); err != nil {
			return nil, err
		}
	}
	if cfg.CertFile != "" {
		if s.certFiles, err = openCertificateFiles(cfg.CertFile, cfg.KeyFile, cfg.Log); err != nil {
			return nil, err
		}
		s.http.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.certFiles.getCertificate}
	}
	return s, nil
}

// SetGroups sets the names of the groups of agents. It may be called at any time.
func (s *Server) SetGroups(names []string) { s.groups.Store(&names) }

func (s *Server) groupNames() []string { return *s.groups.Load() }

func (s *Server) newRequestHandler() http.Handler {
	mux := http.NewServeMux()
	for pattern, answer := range map[string]http.HandlerFunc{
		"GET /api/v1/agents":            s.handleAgentList,
		"GET /api/v1/agents/{id}":       s.handleAgent,
		"GET /api/v1/agents/{id}/day":   s.handleAgentDay,
		"GET /api/v1/day":               s.handleFleetDay,
		"POST /api/v1/agents/{id}/ping": s.handleAgentPing,
		"GET /api/v1/silences":          s.handleSilenceList,
		"POST /api/v1/silences":         s.handleSilenceAdd,
		"DELETE /api/v1/silences/{id}":  s.handleSilenceEnd,
		"GET /api/v1/map":               s.handleFleetMap,
		"GET /api/v1/times":             s.handleFleetTimes,
		"GET /api/v1/status":            s.handleStatus,
		"GET /api/v1/nodes":             s.handleNodes,
		"GET /api/v1/series":            s.handleSampleSeries,
		"GET /api/v1/events":            s.handleEvents,
		"GET /api/v1/changes":           s.handleChanges,
		"GET /api/v1/openapi.json":      s.handleAsset,
		"GET /healthz":                  s.handleHealth,
		"GET /readyz":                   s.handleReady,
		"GET /{$}":                      s.handleAsset,
		"GET /assets/{file}":            s.handleAsset,
		"GET /favicon.ico":              s.handleAsset,
	} {
		mux.HandleFunc(pattern, answer)
	}
	if s.cfg.Metrics != nil {
		mux.Handle("GET /metrics", promhttp.HandlerFor(s.cfg.Metrics, promhttp.HandlerOpts{MaxRequestsInFlight: maxScans}))
	}
	return withProblemAnswers(mux)
}

// Serve serves requests until Close, and returns nil then.
func (s *Server) Serve(l net.Listener) error {
	var beside sync.WaitGroup
	defer beside.Wait()
	defer s.stop()
	beside.Go(s.recordSamples)
	beside.Go(s.readDay)
	if s.tokenFile != nil {
		beside.Go(func() { s.tokenFile.watchFiles(s.ctx) })
	}
	if s.certFiles != nil {
		beside.Go(func() { s.certFiles.watchFiles(s.ctx) })
	}
	l = connlimit.NewListener(l, s.connectionLimits())
	var err error
	if s.certFiles != nil {
		err = s.http.ServeTLS(l, "", "")
	} else {
		err = s.http.Serve(l)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Close closes all connections, and waits for the requests being handled.
func (s *Server) Close() {
	s.requestsMu.Lock() // requests that have begun are counted
	s.stop()
	s.requestsMu.Unlock()
	_ = s.http.Close()
	s.requests.Wait()
}

// beginRequest counts a request, unless the server is closed.
func (s *Server) beginRequest() bool {
	s.requestsMu.Lock()
	defer s.requestsMu.Unlock()
	if s.ctx.Err() != nil {
		return false
	}
	s.requests.Add(1)
	return true
}

// Subscribers returns how many clients follow the events.
func (s *Server) Subscribers() int { return s.subscriptions.countOpenSubscriptions() }
