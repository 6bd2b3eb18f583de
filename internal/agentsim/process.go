package agentsim

import (
	"context"
	"log/slog"
	"time"
)

// exist is the agent's goroutine: one round per process, until the run is over.
func (a *agent) exist() {
	for a.awaitProcess() {
		a.process = process{}
		a.run(a.look().deaths)
		a.become(resting)
	}
}

// awaitProcess waits while the agent has no process. It reports false when the run is over.
func (a *agent) awaitProcess() bool {
	for {
		switch f := a.look(); {
		case f.over:
			return false
		case !f.stopped:
			return true
		}
		<-a.wake
	}
}

// run is one process of the agent: it connects again and again until it ends.
func (a *agent) run(deaths uint32) {
	wait := a.fleet.cfg.Retry / 10
	for {
		a.become(dialling)
		if !a.alive(deaths) {
			return
		}
		conn, err := a.dial()
		if err != nil && a.look().over {
			return
		}
		end := refused
		if err == nil {
			end = a.converse(conn, deaths)
		}
		a.fleet.tally.endings[end].Add(1)
		a.note(end, err)
		switch end {
		case dead:
			return
		case lost, silent, forced: // it was welcome, so it comes back at once
			wait = a.fleet.cfg.Retry / 10
		default:
			a.pause(deaths, jitter(wait))
			wait = min(2*wait, a.fleet.cfg.Retry)
		}
	}
}

// alive waits while the process hangs, and reports whether it still lives then.
func (a *agent) alive(deaths uint32) bool {
	for {
		f := a.look()
		if f.over || f.deaths != deaths {
			return false
		}
		if !f.hung {
			return true
		}
		<-a.wake
	}
}

// pause waits for the given time, or less when the process ends.
func (a *agent) pause(deaths uint32, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	for {
		if f := a.look(); f.over || f.deaths != deaths {
			return
		}
		select {
		case <-t.C:
			return
		case <-a.wake:
		}
	}
}

func (a *agent) become(s stage) {
	was := stage(a.stage.Swap(uint32(s)))
	switch {
	case was != connected && s == connected:
		if a.fleet.tally.connected.Add(1) == int64(len(a.fleet.agents)) {
			a.fleet.tally.once.Do(func() {
				a.fleet.tally.settled.Store(int64(a.fleet.now()))
				close(a.fleet.settled)
			})
		}
	case was == connected && s != connected:
		a.fleet.tally.connected.Add(-1)
	}
}

// note logs why a connection, or the try to get one, ended.
func (a *agent) note(end ending, err error) {
	if !a.fleet.log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	attrs := []slog.Attr{slog.String("agent", a.id), slog.String("why", end.String())}
	if err != nil {
		attrs = append(attrs, slog.Any("error", err))
	}
	a.fleet.log.LogAttrs(context.Background(), slog.LevelDebug, "agent without connection", attrs...)
}
