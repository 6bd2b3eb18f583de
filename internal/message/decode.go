package message

import (
	"cmp"
	"fmt"
	"net/netip"
	"time"
	"unique"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/alertlevel"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/evidence"
	"github.com/wazuh-pulse/pulse/internal/history"
)

// decodeEvent returns the event that a message of the STATUS stream is about, and false
// if it is about none.
func decodeEvent(data []byte) (e history.Event, ok bool) {
	m, err := event.Parse(data)
	if err != nil {
		return e, false
	}
	e.Known = m.Identity().IssuedTime()
	switch m := m.(type) {
	case *event.StatusChangeMessage:
		ok = decodeChange(&e, &m.StatusChange)
	case *event.AgentFlappingMessage:
		f := &m.Flapping
		e.Kind, e.At, e.Name, e.IP, e.Changes = history.Flapping, f.Time(), f.AgentName, f.IPAddress, f.StatusChanges
		e.ID, err = detector.ParseID(f.AgentID)
		ok = err == nil
	case *event.FleetOutageMessage:
		ok = true
		decodeOutage(&e, m)
	case *event.NodeLostMessage, *event.AgentDuplicatedMessage:
		e, ok = decodeClusterAlert(m)
	}
	return e, ok
}

func decodeChange(e *history.Event, c *event.StatusChange) bool {
	id, err := detector.ParseID(c.AgentID)
	reason, ok := detector.ParseReason(string(c.Reason))
	if err != nil || !ok || !c.CurrentStatus.Valid() || !c.PreviousStatus.Valid() {
		return false
	}
	e.Kind, e.At, e.LastSeen = history.Change, c.Time(), c.LastSeenTime()
	e.ID, e.Name, e.IP, e.Reason, e.Missed, e.Outage, e.Changes = id, c.AgentName, c.IPAddress, reason, c.MissedKeepAlives, c.Outage, c.StatusChanges
	e.From, e.To = detector.Status(c.PreviousStatus), detector.Status(c.CurrentStatus)
	e.Evidence, e.Info, e.Silenced = evidence.Parse(&c.Evidence), unique.Make(evidence.ParseInfo(&c.AgentInfo)), c.Silenced
	if c.AwayFor > 0 {
		e.Kind, e.AwayFor = history.Away, c.AwayDuration()
		e.Step = min(max(c.AlertLevel-alertlevel.BeforeFirstStep, 1), alertlevel.Steps) // with the evidence, it gives that level again
	}
	return true
}

func decodeOutage(e *history.Event, m *event.FleetOutageMessage) {
	o := cmp.Or(m.Outage, m.Recovered)
	e.Kind, e.At = history.Recovered, o.Time()
	if m.Outage != nil {
		e.Kind = history.Outage
	}
	e.Fleet = &detector.Fleet{SinceTime: o.SinceTime(), Watched: o.AgentsWatched, Lost: o.AgentsLost,
		Closed: o.ConnectionsClosed, Silent: o.FellSilent, Back: o.AgentsBack,
		HostsProbed: o.HostsProbed, HostsAnswered: o.HostsAnswered}
	for _, lost := range o.Networks {
		if network, err := netip.ParsePrefix(lost.Network); err == nil {
			e.Fleet.Networks = append(e.Fleet.Networks, detector.Network{Prefix: network, Lost: lost.Agents})
		}
	}
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

// decodeAgent returns an agent's state after its last status change.
func decodeAgent(c *event.StatusChange, wall wallSeconds) (detector.Restored, error) {
	id, err := detector.ParseID(c.AgentID)
	if err != nil {
		return detector.Restored{}, err
	}
	reason, ok := detector.ParseReason(string(c.Reason))
	if !ok || !c.CurrentStatus.Valid() || !c.PreviousStatus.Valid() {
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
		Outage: c.Outage, Part: part, Addr: addr, Silenced: c.Silenced, From: detector.Status(c.PreviousStatus),
		Member: detector.Member{ID: id, Name: c.AgentName, IP: c.IPAddress},
		Status: detector.Status(c.CurrentStatus), Reason: reason, Since: since, LastSeen: seen, Missed: c.MissedKeepAlives,
		Info: evidence.ParseInfo(&c.AgentInfo), Evidence: restoreEvidence(&c.Evidence, wall),
		Greeted: c.PreviousStatus == event.Active || c.CurrentStatus == event.Active || c.PreviousStatus == event.Disconnected,
	}, nil
}

func restoreEvidence(e *event.Evidence, wall wallSeconds) detector.Evidence {
	found := evidence.Parse(e)
	if found.HostProbe != "" {
		found.HostProbedAt = min(wall.instant(e.HostProbedAt), -1)
	}
	return found
}

// decodeLastOutage returns an outage as the message of its beginning or end left it.
func decodeLastOutage(m *event.FleetOutageMessage, wall wallSeconds) *detector.Outage {
	o := cmp.Or(m.Outage, m.Recovered)
	last := &detector.Outage{Since: wall.instant(o.Since), Watched: o.AgentsWatched, ReportedAt: wall.instant(o.Timestamp),
		HostsProbed: o.HostsProbed, HostsAnswered: o.HostsAnswered}
	if m.Recovered != nil {
		last.Ended = min(last.ReportedAt, -1)
	}
	return last
}
