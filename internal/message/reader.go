package message

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/history"
	"github.com/wazuh-pulse/pulse/internal/outbox"
)

// Reader reads messages that earlier runs of the node stored.
type Reader struct {
	Outbox *outbox.Outbox
	Prefix event.Prefix
	Open   func([]byte) ([]byte, error) // decrypts a stored message
	Log    *slog.Logger

	Lost   []LostAgent // what [Reader.RestoreAgents] has found, and Stated
	Stated []StatedAgent

	SentFile      string                                // the file of [SentAlerts]
	EscalateAfter []time.Duration                       // as the detector has it
	GroupOf       func(agent *detector.Restored) *Group // by the settings in effect
}

func (r *Reader) parse(data []byte) (event.Message, error) {
	text, err := r.Open(data)
	if err != nil {
		return nil, err
	}
	return event.Parse(text)
}

// RestoreAgents gives the detector the last published state of every agent, so that no
// restart looks like a status change, and which of its alerts were published. It returns
// the latter for the writer of this run.
func (r *Reader) RestoreAgents(ctx context.Context, clock *detector.Clock, to *detector.Detector) (*SentAlerts, error) {
	wall := newWallSeconds(clock)
	outage, err := r.readLastOutage(ctx, wall)
	if err != nil {
		return nil, fmt.Errorf("restore the last outage: %w", err)
	}
	agents, sent, err := r.readAgents(ctx, wall)
	if err != nil {
		return nil, err
	}
	to.Restore(agents, outage)
	if len(agents) > 0 {
		r.Log.Info("restored the state of the last run", "agents", len(agents), "outage", outage != nil && outage.Ended == 0)
	}
	return sent, nil
}

// readAgents reads the last published state of every agent, and which of its alerts were
// published.
func (r *Reader) readAgents(ctx context.Context, wall wallSeconds) (agents []detector.Restored, sent *SentAlerts, err error) {
	alerts, err := r.readSentAlerts(ctx)
	if err != nil {
		return nil, nil, err
	}
	sent = NewSentAlerts()
	var unread unreadable
	err = r.Outbox.ReadLast(ctx, r.Prefix.StatusChanges(), func(subject string, data []byte) error {
		m, err := r.parseChange(data)
		if err != nil {
			unread.add(subject, err)
			return nil
		}
		r.addLostAgent(m)
		if c := &m.StatusChange; c.Reason == event.AgentRemoved || c.Reason == event.NodeLost || c.Reason == event.AgentMoved && (c.CurrentStatus == event.Disconnected || c.ToNode != "") {
			return nil
		}
		agent, err := decodeAgent(&m.StatusChange, wall)
		if err != nil {
			unread.add(subject, err)
			return nil
		}
		r.addStatedAgent(agent.ID, &m.StatusChange)
		alerts.restoreAlerts(&agent, m, sent)
		agents = append(agents, agent)
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("restore the agents' statuses: %w", err)
	}
	unread.logTo(r.Log)
	return agents, sent, nil
}

func (r *Reader) parseChange(data []byte) (*event.StatusChangeMessage, error) {
	m, err := r.parse(data)
	if err != nil {
		return nil, err
	}
	change, ok := m.(*event.StatusChangeMessage)
	if !ok {
		return nil, fmt.Errorf("a %T", m)
	}
	return change, nil
}

// readLastOutage returns the last outage, nil if there never was one.
func (r *Reader) readLastOutage(ctx context.Context, wall wallSeconds) (last *detector.Outage, err error) {
	err = r.Outbox.ReadLast(ctx, r.Prefix.FleetOutage(), func(subject string, data []byte) error {
		m, err := r.parse(data)
		if err != nil {
			r.Log.Error("the last outage cannot be read: it is taken for over", "err", fmt.Errorf("message on %s: %w", subject, err))
			return nil
		}
		if outage, ok := m.(*event.FleetOutageMessage); ok {
			last = decodeLastOutage(outage, wall)
		}
		return nil
	})
	return last, err
}

// ReadEvents returns the events of the last stored messages, of so many at most.
// Messages that cannot be read are left out: the events are only for people to look at.
func (r *Reader) ReadEvents(ctx context.Context, limit uint64) (events []history.Event, err error) {
	err = r.Outbox.ReadRecent(ctx, limit, func(subject string, data []byte) {
		text, err := r.Open(data)
		if err != nil {
			return
		}
		e, ok := decodeEvent(text)
		isCopy := subject == r.Prefix.AgentDisconnected() && e.Kind != history.Away // of the one on the agent's own subject
		if ok && !isCopy {
			events = append(events, e)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("read the events of earlier runs: %w", err)
	}
	return events, nil
}

// ReadChanges calls each with the stored status changes since a time, oldest first: of one
// agent, or of all for nil; those before an epoch of the node, 0 for any. Messages that cannot
// be read are left out.
func (r *Reader) ReadChanges(ctx context.Context, since time.Time, id *detector.AgentID, before uint64, each func(*history.Event)) error {
	subject := r.Prefix.StatusChanges()
	if id != nil {
		subject = r.Prefix.StatusChange(id.String())
	}
	err := r.Outbox.ReadAfter(ctx, outbox.Position{}, since, []string{subject}, func(_ string, data []byte) {
		m, err := r.parseChange(data)
		if err != nil || before > 0 && m.Security.Epoch >= before {
			return
		}
		e := history.Event{Known: m.Security.IssuedTime()}
		if decodeChange(&e, &m.StatusChange) && e.Kind == history.Change {
			each(&e)
		}
	})
	if err != nil {
		return fmt.Errorf("read the status changes since %v: %w", since, err)
	}
	return nil
}
