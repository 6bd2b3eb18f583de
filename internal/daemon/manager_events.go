package daemon

import (
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/message"
	"github.com/wazuh-pulse/pulse/internal/silence"
	"github.com/wazuh-pulse/pulse/internal/silencer"
	"github.com/wazuh-pulse/pulse/internal/wazuhevent"
)

// managerEvents decides which decisions become events in the stock manager that the node
// is attached to: those that ask for somebody's attention, and the end of each. A loss is
// one when its alert is due, and an agent's return is one if there was one of its absence,
// so that an outage is two events, and not two for each agent.
type managerEvents struct {
	node  string
	fleet *detector.Detector
	queue func(format func() string)

	mu        sync.Mutex
	announced map[detector.AgentID]struct{} // agents that are away, and of which there was an event
}

func newManagerEvents(node string, fleet *detector.Detector, queue func(func() string)) *managerEvents {
	return &managerEvents{node: node, fleet: fleet, queue: queue, announced: make(map[detector.AgentID]struct{})}
}

// restoreAnnounced adds the agents whose losses an earlier run of the node has announced.
func (e *managerEvents) restoreAnnounced() {
	for n, more := 0, true; more; n++ {
		var page []detector.Record
		page, more = e.fleet.Page(n)
		e.mu.Lock()
		for i := range page {
			if r := &page[i]; r.Status == detector.Disconnected && r.Reason.IsLoss() && !r.AlertHeld {
				e.announced[r.ID] = struct{}{}
			}
		}
		e.mu.Unlock()
	}
}

// addDecision queues the event of a decision, if it has one.
func (e *managerEvents) addDecision(r *message.Record) {
	switch r.Verdict {
	case detector.Changed:
		e.addChange(r)
	case detector.AlertReleased:
		if r.Reason.IsLoss() { // a goodbye's may be held too, by a silence
			e.announceAbsence(wazuhevent.AgentLost, r)
		}
	case detector.Escalated:
		e.announceAbsence(wazuhevent.AgentAway, r)
	case detector.Flapping:
		kept := *r
		e.queue(func() string { return wazuhevent.FormatFlapping(e.node, message.NewFlapping(&kept)) })
	case detector.OutageBegan:
		e.queueOutage(wazuhevent.FleetOutage, r)
	case detector.OutageEnded:
		e.queueOutage(wazuhevent.FleetRecovered, r)
	}
}

// addChange queues the event of a loss whose alert is not held, or of a return.
func (e *managerEvents) addChange(r *message.Record) {
	switch {
	case r.To == detector.Disconnected && r.Reason.IsLoss() && !r.AlertHeld:
		e.announceAbsence(wazuhevent.AgentLost, r)
	case r.To == detector.Active && e.removeAnnounced(r.ID):
		e.queueChange(wazuhevent.AgentBack, r)
	case r.Reason == detector.AgentRemoved, r.Reason == detector.AgentMoved:
		e.removeAnnounced(r.ID)
	}
}

func (e *managerEvents) announceAbsence(kind wazuhevent.Kind, r *message.Record) {
	e.mu.Lock()
	e.announced[r.ID] = struct{}{}
	e.mu.Unlock()
	e.queueChange(kind, r)
}

// removeAnnounced removes an agent, and reports whether it was announced.
func (e *managerEvents) removeAnnounced(id detector.AgentID) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, was := e.announced[id]
	delete(e.announced, id)
	return was
}

func (e *managerEvents) queueChange(kind wazuhevent.Kind, r *message.Record) {
	kept := *r
	e.queue(func() string { return wazuhevent.FormatStatusChange(kind, e.node, message.NewStatusChange(&kept)) })
}

func (e *managerEvents) queueOutage(kind wazuhevent.Kind, r *message.Record) {
	kept := *r
	e.queue(func() string { return wazuhevent.FormatOutage(kind, message.NewFleetOutage(e.node, &kept)) })
}

// addSilence queues the event of a change of a silence.
func (e *managerEvents) addSilence(change silencer.Change, s *silence.Silence, peer string) {
	entry := s.Entry()
	body := wazuhevent.Silence{ID: entry.ID, State: event.ConditionBegan, Change: string(change), Selects: entry.Selects(), Times: entry.Times(),
		Comment: entry.Comment, By: entry.By, EndedBy: entry.EndedBy, Peer: peer, Timestamp: time.Now().Unix()}
	if change != silencer.Added && change != silencer.Began {
		body.State = event.ConditionEnded
	}
	e.queue(func() string { return wazuhevent.FormatSilence(e.node, body) })
}

// addCondition queues the event of a condition of the node.
func (e *managerEvents) addCondition(c *event.NodeCondition) {
	kept := *c
	e.queue(func() string { return wazuhevent.FormatCondition(kept) })
}
