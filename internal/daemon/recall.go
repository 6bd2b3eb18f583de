package daemon

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/history"
)

// recalled is how many messages of earlier lives the console shows.
const recalled = 20_000

// recalledEncrypted is how many if they have to be decrypted, which takes 0.2 ms each.
const recalledEncrypted = 2_000

// recall gives the history what was told before this life. What cannot be read
// is left out: it is only for people to look at.
func (n *Node) recall(ctx context.Context, prefix event.Prefix) error {
	var events []history.Event
	most := uint64(recalled)
	if n.out.sealer.own != nil {
		most = recalledEncrypted
	}
	err := n.out.outbox.Recent(ctx, most, func(subject string, data []byte) {
		if subject == prefix.AgentDisconnected() { // said on the agent's own subject, too
			return
		}
		text, err := n.out.sealer.open(data)
		if err != nil {
			return
		}
		if e, ok := eventOf(text); ok {
			events = append(events, e)
		}
	})
	if err != nil {
		return fmt.Errorf("recall what was told: %w", err)
	}
	n.history.RestoreEvents(events)
	if n.history.CurrentOutage() != nil {
		n.metrics.RestoreOutage()
	}
	return nil
}

// eventOf reads a message of the STATUS stream back.
func eventOf(data []byte) (e history.Event, ok bool) {
	var m struct {
		Change *event.StatusChange `json:"status_change"`
		event.FleetOutageMessage
		Flapping *event.AgentFlapping `json:"agent_flapping"`
	}
	if json.Unmarshal(data, &m) != nil {
		return e, false
	}
	e.Known = time.UnixMilli(m.Security.IssuedAt)
	switch {
	case m.Change != nil:
		e.Kind, e.At = history.Change, time.Unix(m.Change.Timestamp, 0)
		return e, changed(&e, m.Change)
	case m.Flapping != nil:
		e.Kind, e.At, e.Name, e.IP, e.Changes = history.Flapping, time.Unix(m.Flapping.Timestamp, 0), m.Flapping.AgentName, m.Flapping.IPAddress, m.Flapping.StatusChanges
		var err error
		e.ID, err = detector.ParseID(m.Flapping.AgentID)
		return e, err == nil
	}
	o := cmp.Or(m.Outage, m.Recovered)
	if o == nil {
		return e, false
	}
	e.Kind, e.At = history.Recovered, time.Unix(o.Timestamp, 0)
	if m.Outage != nil {
		e.Kind = history.Outage
	}
	e.Fleet = &history.Fleet{Since: time.Unix(o.Since, 0), Fleet: detector.Fleet{Watched: o.AgentsWatched, Lost: o.AgentsLost,
		Closed: o.ConnectionsClosed, Silent: o.FellSilent, Back: o.AgentsBack}}
	for _, lost := range o.Networks {
		if network, err := netip.ParsePrefix(lost.Network); err == nil {
			e.Fleet.Networks = append(e.Fleet.Networks, detector.Network{Prefix: network, Lost: lost.Agents})
		}
	}
	return e, true
}

func changed(e *history.Event, c *event.StatusChange) bool {
	id, err := detector.ParseID(c.AgentID)
	reason, ok := detector.ParseReason(c.Reason)
	if err != nil || !ok || c.CurrentStatus < event.Active || c.CurrentStatus > event.NeverConnected ||
		c.PreviousStatus < event.Active || c.PreviousStatus > event.NeverConnected {
		return false
	}
	e.ID, e.Name, e.IP, e.Reason, e.Missed, e.Outage, e.Changes = id, c.AgentName, c.IPAddress, reason, c.MissedKeepAlives, c.Outage, c.StatusChanges
	e.From, e.To = detector.Status(c.PreviousStatus), detector.Status(c.CurrentStatus)
	if c.LastSeen > 0 {
		e.LastSeen = time.Unix(c.LastSeen, 0)
	}
	return true
}
