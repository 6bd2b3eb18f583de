package message

import (
	"context"
	"fmt"
	"log/slog"

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
}

func (r *Reader) parse(data []byte) (event.Message, error) {
	text, err := r.Open(data)
	if err != nil {
		return nil, err
	}
	return event.Parse(text)
}

// RestoreAgents gives the detector the last published state of every agent, so that no
// restart looks like a status change.
func (r *Reader) RestoreAgents(ctx context.Context, clock *detector.Clock, to *detector.Detector) error {
	wall := newWallSeconds(clock)
	outage, err := r.readLastOutage(ctx, wall)
	if err != nil {
		return fmt.Errorf("restore the last outage: %w", err)
	}
	var agents []detector.Restored
	var unread unreadable
	err = r.Outbox.ReadLast(ctx, r.Prefix.StatusChanges(), func(subject string, data []byte) error {
		c, err := r.parseChange(data)
		if err != nil {
			unread.add(subject, err)
			return nil
		}
		if c.Reason == event.AgentRemoved || c.Reason == event.AgentMoved {
			return nil
		}
		agent, err := decodeAgent(c, wall)
		if err != nil {
			unread.add(subject, err)
			return nil
		}
		agents = append(agents, agent)
		return nil
	})
	if err != nil {
		return fmt.Errorf("restore the agents' statuses: %w", err)
	}
	unread.logTo(r.Log)
	to.Restore(agents, outage)
	if len(agents) > 0 {
		r.Log.Info("restored the state of the last run", "agents", len(agents), "outage", outage != nil && outage.Ended == 0)
	}
	return nil
}

func (r *Reader) parseChange(data []byte) (*event.StatusChange, error) {
	m, err := r.parse(data)
	if err != nil {
		return nil, err
	}
	change, ok := m.(*event.StatusChangeMessage)
	if !ok {
		return nil, fmt.Errorf("a %T", m)
	}
	return &change.StatusChange, nil
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
		if subject == r.Prefix.AgentDisconnected() { // a copy of the one on the agent's own subject
			return
		}
		text, err := r.Open(data)
		if err != nil {
			return
		}
		if e, ok := decodeEvent(text); ok {
			events = append(events, e)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("read the events of earlier runs: %w", err)
	}
	return events, nil
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
