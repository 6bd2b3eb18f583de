package daemon

import (
	"context"
	"log/slog"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// journalBurst is how many status changes a second are logged one by one. When
// a network goes down, the messages on NATS tell of every agent; the log tells
// how many there were.
const journalBurst = 20

// journal logs status changes for the person who reads the log. It is for one
// goroutine.
type journal struct {
	log    *slog.Logger
	second int64
	logged int
	silent int
}

// catchUp tells how many changes were not logged. A storm may be over before
// the next change, so that it is also called from time to time.
func (j *journal) catchUp() {
	if j.silent > 0 {
		j.log.Warn("more status changes than are logged", "not_logged", j.silent)
		j.silent = 0
	}
}

// note logs a decision that is no routine.
func (j *journal) note(d *detector.Decision) {
	switch d.Verdict {
	case detector.Changed:
		j.changed(d)
	case detector.Flapping:
		j.log.Warn("agent flapping: its alerts are held until it is stable", "id", d.ID.String(), "name", d.Name, "ip", d.IP, "status_changes", d.Changes)
	case detector.OutageBegan:
		j.log.Error("fleet outage: alerts of single agents are held while it lasts", "lost", d.Fleet.Lost, "watched", d.Fleet.Watched,
			"connections_closed", d.Fleet.Closed, "fell_silent", d.Fleet.Silent)
	case detector.OutageEnded:
		j.log.Warn("fleet recovered", "lost", d.Fleet.Lost, "back", d.Fleet.Back)
	case detector.Resumed:
		j.log.Warn("pulse itself was stopped or starved: every deadline moves by that much", "for", d.Pause.Round(time.Millisecond).String())
	}
}

func (j *journal) changed(d *detector.Decision) {
	if now := time.Now().Unix(); now != j.second {
		j.catchUp()
		j.second, j.logged = now, 0
	}
	if j.logged++; j.logged > journalBurst {
		j.silent++
		return
	}
	level := slog.LevelInfo
	if d.To == detector.Disconnected && d.Reason != detector.AgentShutdown {
		level = slog.LevelWarn
	}
	attrs := []any{"id", d.ID.String(), "name", d.Name, "ip", d.IP, "was", d.From.String(), "reason", d.Reason.String(), "missed", d.Missed}
	if d.Changes > 0 {
		attrs = append(attrs, "status_changes", d.Changes)
	}
	j.log.Log(context.Background(), level, "agent "+d.To.String(), attrs...)
}
