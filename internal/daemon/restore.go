package daemon

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/outbox"
)

// restore brings back what was last published about every agent, so that a
// restart is no event.
func restore(ctx context.Context, from *outbox.Outbox, by *sealer, prefix event.Prefix, clock *detector.Clock, to *detector.Detector, log *slog.Logger) error {
	wall := newWallSeconds(clock)
	outage, err := lastOutage(ctx, from, by, prefix, wall, log)
	if err != nil {
		return fmt.Errorf("restore the last outage: %w", err)
	}
	var agents []detector.Restored
	var unread unreadable
	err = from.Last(ctx, prefix.StatusChanges(), func(subject string, data []byte) error {
		var m event.StatusChangeMessage
		if err := by.read(data, &m); err != nil {
			unread.note(subject, err)
			return nil
		}
		if why := m.StatusChange.Reason; why == event.AgentRemoved || why == event.AgentMoved {
			return nil
		}
		agent, err := restored(&m.StatusChange, wall)
		if err != nil {
			unread.note(subject, err)
			return nil
		}
		agents = append(agents, agent)
		return nil
	})
	if err != nil {
		return fmt.Errorf("restore the agents' statuses: %w", err)
	}
	unread.tell(log)
	to.Restore(agents, outage)
	if len(agents) > 0 {
		log.Info("took up where the last life ended", "agents", len(agents), "outage", outage != nil && outage.Ended == 0)
	}
	return nil
}

// wallSeconds converts the seconds of messages to instants, all with one reading
// of the wall clock: two that are the same second are the same instant.
type wallSeconds struct{ epoch detector.Instant }

func newWallSeconds(clock *detector.Clock) wallSeconds {
	return wallSeconds{clock.Instant(time.Unix(0, 0))}
}

func (w wallSeconds) instant(unix int64) detector.Instant {
	return w.epoch.Add(time.Duration(unix) * time.Second)
}

// read reads a message that the node has kept.
func (s *sealer) read(data []byte, into any) error {
	text, err := s.open(data)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// unreadable counts messages that are not understood: of another version, or damaged
// where no checksum tells. They shall not keep a node from starting.
type unreadable struct {
	agents int
	first  error
}

func (u *unreadable) note(subject string, err error) {
	if u.agents++; u.agents == 1 {
		u.first = fmt.Errorf("message on %s: %w", subject, err)
	}
}

func (u *unreadable) tell(log *slog.Logger) {
	if u.agents > 0 {
		log.Error("the last status changes of some agents cannot be read: these begin anew", "agents", u.agents, "err", u.first)
	}
}

// lastOutage returns the last outage, nil if there never was one.
func lastOutage(ctx context.Context, from *outbox.Outbox, by *sealer, prefix event.Prefix, wall wallSeconds, log *slog.Logger) (last *detector.Outage, err error) {
	err = from.Last(ctx, prefix.FleetOutage(), func(subject string, data []byte) error {
		var m event.FleetOutageMessage
		if err := by.read(data, &m); err != nil {
			log.Error("the last outage cannot be read: it is taken for over", "err", fmt.Errorf("message on %s: %w", subject, err))
			return nil
		}
		o := cmp.Or(m.Outage, m.Recovered)
		if o == nil {
			return nil
		}
		last = &detector.Outage{Since: wall.instant(o.Since), Watched: o.AgentsWatched, ReportedAt: wall.instant(o.Timestamp)}
		if m.Recovered != nil {
			last.Ended = min(last.ReportedAt, -1)
		}
		return nil
	})
	return last, err
}

// restored is the agent that a status change left behind.
func restored(c *event.StatusChange, wall wallSeconds) (detector.Restored, error) {
	id, err := detector.ParseID(c.AgentID)
	if err != nil {
		return detector.Restored{}, err
	}
	reason, ok := detector.ParseReason(c.Reason)
	if !ok || c.CurrentStatus < event.Active || c.CurrentStatus > event.NeverConnected {
		return detector.Restored{}, fmt.Errorf("status %d by reason %.40q", c.CurrentStatus, c.Reason)
	}
	part, _ := detector.ParsePart(c.OutagePart)
	since := wall.instant(c.Timestamp)
	seen := since
	if c.LastSeen > 0 {
		seen = wall.instant(c.LastSeen)
	}
	addr, _ := netip.ParseAddr(c.IPAddress) // else it is what the agent is registered under
	return detector.Restored{
		Outage: c.Outage, Part: part, Addr: addr,
		Member: detector.Member{ID: id, Name: c.AgentName, IP: c.IPAddress},
		Status: detector.Status(c.CurrentStatus), Reason: reason, Since: since, LastSeen: seen, Missed: c.MissedKeepAlives,
		Greeted: c.PreviousStatus == event.Active || c.CurrentStatus == event.Active || c.PreviousStatus == event.Disconnected,
	}, nil
}
