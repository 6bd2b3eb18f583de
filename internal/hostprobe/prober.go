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

// Request has a host probed. The result is reported from another goroutine, at once or never: a request that finds as
// many before it as may wait is dropped, and so are those that wait when Run ends. It does not wait itself.
func (p *Prober) Request(addr netip.Addr, report func(Result)) {
	select {
	case p.queue <- request{addr, time.Now(), report}:
	default:
		p.counts[Unknown].Add(1)
	}
}

// Counts returns how many results there were, by host. Of a request that was dropped it is unknown.
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
				p.reportResult(&r, Result{})
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
	p.reportResult(&r, result)
}

func (p *Prober) reportResult(r *request, result Result) {
	p.counts[result.Host].Add(1)
	r.report(result)
}
