package hostprobe

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wazuh-pulse/pulse/internal/logonce"
)

const (
	// MaxRate is how many probes begin within a second.
	MaxRate = 50
	// maxQueued is how many may wait to begin.
	maxQueued = 256
	// maxQueueTime is for how long one may wait.
	maxQueueTime = 5 * time.Second
)

// Func probes one host. The error is why it was not asked.
type Func func(ctx context.Context, addr netip.Addr, ports []int) (Result, error)

// Prober probes hosts, at most [MaxRate] in a second. See [New].
type Prober struct {
	probe Func
	log   *slog.Logger
	ports atomic.Pointer[[]int]
	queue chan request

	counts   [Silent + 1]atomic.Uint64
	failures logonce.Limiter
}

// request is a probe that waits.
type request struct {
	addr   netip.Addr
	since  time.Time
	report func(Result)
}

// New returns a prober that tries these TCP ports. With a nil probe it probes real hosts.
func New(ports []int, probe Func, log *slog.Logger) *Prober {
	if probe == nil {
		probe = usualTimings.probeHost
	}
	p := &Prober{probe: probe, log: log, queue: make(chan request, maxQueued)}
	p.SetPorts(ports)
	return p
}

// SetPorts replaces the TCP ports, for probes that begin from now on.
func (p *Prober) SetPorts(ports []int) { p.ports.Store(&ports) }

// Request has a host probed, and its result reported once, from any goroutine. It does not wait: where too many
// requests do, the host is not asked, and its result is unknown. When Run ends, requests that wait are not reported.
func (p *Prober) Request(addr netip.Addr, report func(Result)) {
	select {
	case p.queue <- request{addr, time.Now(), report}:
	default:
		report(p.countResult(Result{}))
	}
}

// Counts returns how many results were reported, by host.
func (p *Prober) Counts() (n [Silent + 1]uint64) {
	for host := range n {
		n[host] = p.counts[host].Load()
	}
	return n
}

// Run probes what is requested until ctx ends.
func (p *Prober) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	var recent [MaxRate]time.Time // when the latest probes began
	for begun := 0; waitUntil(ctx, recent[begun%MaxRate].Add(time.Second)); {
		select {
		case r := <-p.queue:
			if time.Since(r.since) > maxQueueTime {
				r.report(p.countResult(Result{}))
				continue
			}
			recent[begun%MaxRate] = time.Now()
			begun++
			running.Go(func() { p.serveRequest(ctx, r) })
		case <-ctx.Done():
			return
		}
	}
}

// waitUntil waits until a time, and reports whether ctx goes on.
func waitUntil(ctx context.Context, at time.Time) bool {
	wait := time.Until(at)
	if wait <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (p *Prober) serveRequest(ctx context.Context, r request) {
	result, err := p.probe(ctx, r.addr, *p.ports.Load())
	if err != nil && ctx.Err() == nil {
		if skipped, ok := p.failures.Allow(); ok {
			p.log.Warn("a lost agent's host could not be asked whether it answers", "ip", r.addr.String(), "err", err, "not_logged", skipped)
		}
	}
	r.report(p.countResult(result))
}

func (p *Prober) countResult(r Result) Result {
	p.counts[r.Host].Add(1)
	return r
}
