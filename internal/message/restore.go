package message

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/detector"
)

// restorer restores which alerts were published, from the file and from the stream.
type restorer struct {
	kept   map[detector.AgentID]sentAlert // of the file
	number messageNumber                  // of the file
	found  map[detector.AgentID]foundAlert
	limit  time.Time // what was lost before it has had its alerts; zero: that is known of all
	*Reader
}

// foundAlert is what alerts in the stream say of an agent.
type foundAlert struct {
	number  messageNumber // of the last alert
	awayFor int64         // its away_for
	flapped int64         // when it was found flapping; 0 if not
}

// unknownPeriod is for how long before the start alerts are read from the stream without
// the file, beyond the last escalation.
const unknownPeriod = 24 * time.Hour

// readSentAlerts reads which alerts were published. What cannot be read is logged.
func (r *Reader) readSentAlerts(ctx context.Context) (*restorer, error) {
	s := &restorer{Reader: r, found: make(map[detector.AgentID]foundAlert), kept: make(map[detector.AgentID]sentAlert)}
	since := time.Now().Add(-unknownPeriod)
	if n := len(r.EscalateAfter); n > 0 {
		since = since.Add(-r.EscalateAfter[n-1])
	}
	file, err := readSentFile(r.SentFile)
	switch {
	case err != nil:
		r.Log.Error("the file of the published alerts cannot be read: they are read from STATUS, as far back as they matter", "err", err)
		fallthrough
	case file == nil:
		s.limit, file = since, new(sentFile)
	}
	s.number = file.Number
	for _, row := range file.Agents {
		s.kept[detector.AgentID(row[0])] = sentAlert{awayFor: row[1], changed: row[2], alerted: row[3] != 0}
	}
	subjects := []string{r.Prefix.AgentDisconnected(), r.Prefix.AgentFlapping()}
	if err := r.Outbox.ReadAfter(ctx, file.Position, since, subjects, s.addAlert); err != nil {
		return nil, fmt.Errorf("restore the published alerts: %w", err)
	}
	return s, nil
}

// addAlert adds an alert of the stream. One that cannot be read is left out: it may be repeated.
func (s *restorer) addAlert(subject string, data []byte) {
	m, err := s.parse(data)
	if err != nil {
		s.Log.Warn("a published alert cannot be read", "err", fmt.Errorf("message on %s: %w", subject, err))
		return
	}
	number := numberOf(m.Identity())
	switch m := m.(type) {
	case *event.StatusChangeMessage:
		if id, err := detector.ParseID(m.StatusChange.AgentID); err == nil {
			a := s.found[id]
			a.number, a.awayFor = number, m.StatusChange.AwayFor
			s.found[id] = a
		}
	case *event.AgentFlappingMessage:
		if id, err := detector.ParseID(m.Flapping.AgentID); err == nil {
			a := s.found[id]
			a.flapped = m.Flapping.Timestamp
			s.found[id] = a
		}
	}
}

// sentSince returns what was published of an agent since its last status change.
func (s *restorer) sentSince(id detector.AgentID, change messageNumber) (sent sentAlert, flapped int64) {
	if a, ok := s.kept[id]; ok {
		flapped = int64(a.changed)
		if !change.isAfter(s.number) {
			sent.alerted, sent.awayFor = a.alerted, a.awayFor
		}
	}
	if a, ok := s.found[id]; ok {
		flapped = max(flapped, a.flapped)
		if a.number.isAfter(change) {
			sent.alerted, sent.awayFor = true, max(sent.awayFor, uint32(min(max(a.awayFor, 0), 1<<31)))
		}
	}
	return sent, flapped
}

// restoreAlerts sets what was published of an agent that is away, and what is still to come.
func (s *restorer) restoreAlerts(agent *detector.Restored, m *event.StatusChangeMessage, to *SentAlerts) {
	c := &m.StatusChange
	sent, flapped := s.sentSince(agent.ID, numberOf(&m.Security))
	group := s.GroupOf(agent)
	flapping := flapped != 0 && c.Timestamp-flapped <= int64(group.FlapWindow/time.Second)
	if flapping {
		agent.Flapping, sent.changed = true, unixSeconds(c.Time())
	}
	if c.CurrentStatus == event.Disconnected {
		switch {
		case sent.alerted:
			agent.Step = countSteps(s.EscalateAfter, time.Duration(sent.awayFor)*time.Second)
		case c.Time().Before(s.limit):
			sent.alerted = true
			if agent.Step = len(s.EscalateAfter); agent.Step > 0 {
				sent.awayFor = uint32(s.EscalateAfter[agent.Step-1] / time.Second)
			}
		default:
			agent.AlertHeld = c.AlertLevel >= group.AlertThreshold
		}
		agent.Alerted = sent.alerted
	}
	to.set(agent.ID, sent)
}

// countSteps returns how many escalations come up to a time, which is in whole seconds, at
// least one; 0 is that of a loss's own alert.
func countSteps(after []time.Duration, awayFor time.Duration) (n int) {
	for n < len(after) && max(after[n].Truncate(time.Second), time.Second) <= awayFor {
		n++
	}
	return n
}

// unreadable counts messages that cannot be read: of another version, or damaged
// where no checksum shows it. They must not keep a node from starting.
type unreadable struct {
	agents int
	first  error
}

func (u *unreadable) add(subject string, err error) {
	if u.agents++; u.agents == 1 {
		u.first = fmt.Errorf("message on %s: %w", subject, err)
	}
}

func (u *unreadable) logTo(log *slog.Logger) {
	if u.agents > 0 {
		log.Error("the last status changes of some agents cannot be read: these begin anew", "agents", u.agents, "err", u.first)
	}
}
