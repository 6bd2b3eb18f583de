package agentsim

import (
	"context"
	"log/slog"
	"time"
)

// runAgent is the agent's goroutine: it runs one process after the other until
// the run is over.
func (a *agent) runAgent() {
	for a.awaitProcess() {
		a.process = process{}
		if deaths := a.currentLifecycle().ended; a.fleet.cfg.Wazuh5.On {
			a.runProcessOf5(deaths)
		} else {
			a.runProcess(deaths)
		}
		a.setStage(noProcess)
	}
}

// awaitProcess waits while the agent has no process. It returns false when the
// run is over.
func (a *agent) awaitProcess() bool {
	for {
		switch f := a.currentLifecycle(); {
		case f.over:
			return false
		case !f.stopped:
			return true
		}
		<-a.wake
	}
}

// runProcess runs one process of the agent: it connects again and again until
// it ends.
func (a *agent) runProcess(deaths uint32) {
	wait := a.fleet.cfg.Retry / 10
	for {
		a.setStage(dialling)
		if !a.waitWhileHung(deaths) {
			return
		}
		conn, err := a.dialManager()
		if err != nil && a.currentLifecycle().over {
			return
		}
		end := refused
		if err == nil {
			end = a.runSession(conn, deaths)
		}
		a.fleet.counters.endings[end].Add(1)
		a.logEnd(end, err)
		switch end {
		case processEnded:
			return
		case lost, silent, forced: // it had been accepted, so it reconnects at once
			wait = a.fleet.cfg.Retry / 10
		default:
			a.sleepUnlessEnded(deaths, jitter(wait))
			wait = min(2*wait, a.fleet.cfg.Retry)
		}
	}
}

// waitWhileHung waits while the process hangs, and reports whether it still
// exists then.
func (a *agent) waitWhileHung(deaths uint32) bool {
	for {
		f := a.currentLifecycle()
		if f.over || f.ended != deaths {
			return false
		}
		if !f.hung {
			return true
		}
		<-a.wake
	}
}

// sleepUnlessEnded waits for the given time, or less when the process ends.
func (a *agent) sleepUnlessEnded(deaths uint32, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	for {
		if f := a.currentLifecycle(); f.over || f.ended != deaths {
			return
		}
		select {
		case <-t.C:
			return
		case <-a.wake:
		}
	}
}

func (a *agent) setStage(s stage) {
	was := stage(a.stage.Swap(uint32(s)))
	switch {
	case was != connected && s == connected:
		if a.fleet.counters.connected.Add(1) == int64(len(a.fleet.agents)) {
			a.fleet.counters.once.Do(func() {
				a.fleet.counters.settled.Store(int64(a.fleet.elapsed()))
				close(a.fleet.settled)
			})
		}
	case was == connected && s != connected:
		a.fleet.counters.connected.Add(-1)
	}
}

// logEnd logs why a connection, or the try to get one, ended.
func (a *agent) logEnd(end endReason, err error) {
	if !a.fleet.log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	attrs := []slog.Attr{slog.String("agent", a.id), slog.String("why", end.String())}
	if err != nil {
		attrs = append(attrs, slog.Any("error", err))
	}
	a.fleet.log.LogAttrs(context.Background(), slog.LevelDebug, "agent without connection", attrs...)
}
