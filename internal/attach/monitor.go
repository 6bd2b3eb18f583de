package attach

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/wazuh-pulse/pulse/internal/remoted"
	"github.com/wazuh-pulse/pulse/internal/wake"
	"github.com/wazuh-pulse/pulse/internal/wazuhsock"
)

const (
	// checkPeriod is the time between two checks whether remoted answers; checkRetry the
	// same while it does not.
	checkPeriod, checkRetry = 5 * time.Second, time.Second
	// checkTimeout is how long remoted may take to answer for itself, which it does
	// without waiting for others: if not, its socket stalls.
	checkTimeout = 2 * time.Second
	// restartGrace is how long agents get to come back to a remoted that has just
	// started: they try again every 10 s, and ten thousand of them take half a minute.
	restartGrace = time.Minute
	// poolShare is the part of remoted's pool that Pulse's requests may take.
	poolShare = 4
)

// remotedMonitor checks whether remoted is there, and reads the settings of each that
// was started.
type remotedMonitor struct {
	client *remoted.Client
	events eventQueue
	period time.Duration
	wake   wake.Signal // there is reason to check at once

	settingsOf remoted.Incarnation // the one whose settings were read
}

func newRemotedMonitor(client *remoted.Client, events eventQueue) *remotedMonitor {
	return &remotedMonitor{client: client, events: events, period: checkPeriod, wake: wake.NewSignal()}
}

// runMonitor checks until ctx ends.
func (m *remotedMonitor) runMonitor(ctx context.Context) {
	for {
		pause := m.period
		if !m.checkRemotedState(ctx) {
			pause = min(m.period, checkRetry)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-m.wake:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// checkRemotedState checks once, and reports whether remoted answered.
func (m *remotedMonitor) checkRemotedState(ctx context.Context) bool {
	began := time.Now()
	sessions, err := m.client.CountSessions(ctx, checkTimeout)
	if ctx.Err() != nil {
		return false
	}
	if err != nil {
		m.events.sendEvent(ctx, remotedDown{wazuhsock.ExplainError(err, "wazuh-remoted", m.client.SocketPath())})
		return false
	}
	m.events.sendEvent(ctx, remotedUp{sessions: sessions, slow: time.Since(began) > checkTimeout/4})
	var ready remotedReady
	if now := m.client.ReadIncarnation(); now != m.settingsOf {
		settings, err := m.client.ReadSettings(ctx, checkTimeout)
		ready, m.settingsOf = remotedReady{&settings, err}, now
	}
	m.events.sendEvent(ctx, ready)
	return true
}

// portSet is the ports that agents connect to over TCP. It may be used concurrently.
type portSet struct{ ports atomic.Pointer[[]uint16] }

func (s *portSet) replacePorts(ports []uint16) { s.ports.Store(&ports) }

// containsPort reports whether agents connect to a port.
func (s *portSet) containsPort(port uint16) bool {
	ports := s.ports.Load()
	return ports != nil && slices.Contains(*ports, port)
}
