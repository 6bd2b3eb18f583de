package attach

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/remoted"
	"github.com/wazuh-pulse/pulse/internal/wazuhsock"
)

const (
	// beatPeriod is the time between two looks at whether remoted answers;
	// beatRetry the same while it does not.
	beatPeriod, beatRetry = 5 * time.Second, time.Second
	// beatTime is how long it may take to answer for itself, which it does without
	// asking anybody: if not, its socket stalls.
	beatTime = 2 * time.Second
	// restartGrace is how long agents get to come back to a remoted that has just
	// started: they try again every 10 s, and ten thousand of them take half a minute.
	restartGrace = time.Minute
)

// poolShare is the part of remoted's pool that requests of ours may take.
const poolShare = 4

// beat follows remoted: whether it is there, and since when it is the same one.
type beat struct {
	client   *remoted.Client
	asker    *asker
	fleet    Fleet
	said     *troubles
	log      *slog.Logger
	most     int // the setting
	period   time.Duration
	grace    time.Duration // to come back to a new one
	ports    atomic.Pointer[[]uint16]
	sessions atomic.Int64  // of agents over TCP
	look     chan struct{} // there is reason to look at once

	mu    sync.Mutex
	known remoted.Incarnation // the one that agents have had time to come to

	greeted remoted.Incarnation // the one whose settings were read; run's
	down    bool                // run's
}

// run looks until ctx ends.
func (b *beat) run(ctx context.Context) {
	for {
		err := b.once(ctx)
		if ctx.Err() != nil {
			return
		}
		b.said.set("wazuh-remoted", err)
		pause := b.period
		if err != nil {
			pause = min(b.period, beatRetry)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-b.look:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// once looks at remoted. While it does not answer, nothing is asked, and
// nothing is held against the agents.
func (b *beat) once(ctx context.Context) error {
	began := time.Now()
	sessions, err := b.client.CountSessions(ctx, beatTime)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		b.down = true
		b.asker.halt(true)
		b.asker.slow()
		b.fleet.Excuse(b.grace)
		return wazuhsock.Explain(err, "wazuh-remoted", b.client.Path())
	}
	if time.Since(began) > beatTime/4 {
		b.asker.slow()
	}
	b.sessions.Store(sessions)
	b.notice()
	if now := b.client.Incarnation(); now != b.greeted {
		b.greet(ctx)
		b.greeted = now
	}
	if b.down {
		b.down = false
		b.fleet.Excuse(b.grace)
	}
	b.asker.halt(false)
	return nil
}

// notice looks whether remoted has been started anew. Then all agents have to come
// back to it.
func (b *beat) notice() {
	now := b.client.Incarnation()
	b.mu.Lock()
	changed := now != b.known && now != (remoted.Incarnation{})
	first := b.known == (remoted.Incarnation{})
	if changed {
		b.known = now
	}
	b.mu.Unlock()
	if changed && !first {
		b.log.Warn("wazuh-remoted has been restarted: its agents have time to come back", "for", b.grace.String())
		b.asker.restarted(now.Started, b.grace)
		b.restarted()
	}
}

// restarted excuses the agents, and has remoted looked at.
func (b *beat) restarted() {
	b.fleet.Excuse(b.grace)
	b.hurry()
}

func (b *beat) hurry() {
	select {
	case b.look <- struct{}{}:
	default:
	}
}

// greet reads the settings of a remoted that was not there before. Old ones do
// not tell; then what is usual holds.
func (b *beat) greet(ctx context.Context) {
	settings, err := b.client.ReadSettings(ctx, beatTime)
	most := max(min(b.most, settings.Pool/poolShare), 1)
	b.asker.limit(most, settings.ResponseTimeout)
	b.ports.Store(&settings.Ports)
	b.log.Info("attached to wazuh-remoted", "request_pool", settings.Pool, "max_in_flight", most, "response_timeout", settings.ResponseTimeout.String(),
		"agents_at", fmt.Sprint(settings.Ports), "settings_read", err == nil)
}

// serves reports whether agents connect to a port.
func (b *beat) serves(port uint16) bool {
	ports := b.ports.Load()
	if ports == nil {
		return false
	}
	for _, p := range *ports {
		if p == port {
			return true
		}
	}
	return false
}

// Fleet is the detector, as far as a link knows it.
type Fleet interface {
	Report(detector.Sighting)
	SetMembers([]detector.Member)
	Excuse(time.Duration)
	Agent(detector.AgentID) (detector.Record, bool)
	Page(n int) (page []detector.Record, more bool)
}
