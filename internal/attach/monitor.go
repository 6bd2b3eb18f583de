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
	// checkPeriod is the time between two looks at whether remoted answers;
	// beatRetry the same while it does not.
	checkPeriod, checkRetry = 5 * time.Second, time.Second
	// checkTimeout is how long it may take to answer for itself, which it does without
	// asking anybody: if not, its socket stalls.
	checkTimeout = 2 * time.Second
	// restartGrace is how long agents get to come back to a remoted that has just
	// started: they try again every 10 s, and ten thousand of them take half a minute.
	restartGrace = time.Minute
)

// poolShare is the part of remoted's pool that requests of ours may take.
const poolShare = 4

// remotedMonitor follows remoted: whether it is there, and since when it is the same one.
type remotedMonitor struct {
	client      *remoted.Client
	asker       *prober
	fleet       Fleet
	conditions  *conditions
	log         *slog.Logger
	maxInFlight int // the setting
	period      time.Duration
	grace       time.Duration // to come back to a new one
	ports       atomic.Pointer[[]uint16]
	sessions    atomic.Int64  // of agents over TCP
	wake        chan struct{} // there is reason to look at once

	mu          sync.Mutex
	incarnation remoted.Incarnation // the one that agents have had time to come to

	settingsOf remoted.Incarnation // the one whose settings were read; run's
	down       bool                // run's
}

// runMonitor looks until ctx ends.
func (b *remotedMonitor) runMonitor(ctx context.Context) {
	for {
		err := b.checkRemoted(ctx)
		if ctx.Err() != nil {
			return
		}
		b.conditions.setCondition("wazuh-remoted", err)
		pause := b.period
		if err != nil {
			pause = min(b.period, checkRetry)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-b.wake:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// checkRemoted looks at remoted. While it does not answer, nothing is asked, and
// nothing is held against the agents.
func (b *remotedMonitor) checkRemoted(ctx context.Context) error {
	began := time.Now()
	sessions, err := b.client.CountSessions(ctx, checkTimeout)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		b.down = true
		b.asker.setHalted(true)
		b.asker.handleSlowRemoted()
		b.fleet.ExtendGrace(b.grace)
		return wazuhsock.Explain(err, "wazuh-remoted", b.client.Path())
	}
	if time.Since(began) > checkTimeout/4 {
		b.asker.handleSlowRemoted()
	}
	b.sessions.Store(sessions)
	b.checkRestart()
	if now := b.client.Incarnation(); now != b.settingsOf {
		b.readSettings(ctx)
		b.settingsOf = now
	}
	if b.down {
		b.down = false
		b.fleet.ExtendGrace(b.grace)
	}
	b.asker.setHalted(false)
	return nil
}

// checkRestart looks whether remoted has been started anew. Then all agents have to come
// back to it.
func (b *remotedMonitor) checkRestart() {
	now := b.client.Incarnation()
	b.mu.Lock()
	changed := now != b.incarnation && now != (remoted.Incarnation{})
	first := b.incarnation == (remoted.Incarnation{})
	if changed {
		b.incarnation = now
	}
	b.mu.Unlock()
	if changed && !first {
		b.log.Warn("wazuh-remoted has been restarted: its agents have time to come back", "for", b.grace.String())
		b.asker.awaitReturns(now.Started, b.grace)
		b.handleReset()
	}
}

// handleReset excuses the agents, and has remoted looked at.
func (b *remotedMonitor) handleReset() {
	b.fleet.ExtendGrace(b.grace)
	b.checkSoon()
}

func (b *remotedMonitor) checkSoon() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// readSettings reads the settings of a remoted that was not there before. Old ones do
// not tell; then what is usual holds.
func (b *remotedMonitor) readSettings(ctx context.Context) {
	settings, err := b.client.ReadSettings(ctx, checkTimeout)
	most := max(min(b.maxInFlight, settings.Pool/poolShare), 1)
	b.asker.setLimits(most, settings.ResponseTimeout)
	b.ports.Store(&settings.Ports)
	b.log.Info("attached to wazuh-remoted", "request_pool", settings.Pool, "max_in_flight", most, "response_timeout", settings.ResponseTimeout.String(),
		"agents_at", fmt.Sprint(settings.Ports), "settings_read", err == nil)
}

// isAgentPort reports whether agents connect to a port.
func (b *remotedMonitor) isAgentPort(port uint16) bool {
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
	ExtendGrace(time.Duration)
	Agent(detector.AgentID) (detector.Record, bool)
	Page(n int) (page []detector.Record, more bool)
}
