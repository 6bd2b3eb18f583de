package report

import (
	"cmp"
	"slices"
	"time"

	"github.com/wazuh-pulse/pulse/event"
)

// agentHistory is what one agent adds to a report.
type agentHistory struct {
	row            Row
	ip, node       string
	groups         []string
	hosts          map[event.Host]int
	returns        int
	detected, away []float64 // seconds
	absent         *Absent   // it is away at the end
}

// followAgent follows an agent through the time of the report. It returns nil if the agent
// was not registered then.
func (b *Builder) followAgent(id string) *agentHistory {
	changes := b.changes[id]
	slices.SortStableFunc(changes, func(a, c Change) int {
		return cmp.Or(a.At.Compare(c.At), a.KnownAt.Compare(c.KnownAt))
	})
	h := &agentHistory{row: Row{Key: id, Agents: 1, Reasons: make(map[event.Reason]int)}, hosts: make(map[event.Host]int)}
	status, since := b.startStatus(id, changes)
	reason := event.Reason("")
	registered := status != event.NeverConnected
	at := b.from // up to which its time is counted
	count := func(until time.Time) {
		if seconds := b.watched.within(at, until).Seconds(); registered && seconds > 0 {
			if isAlive(status) {
				h.row.active += seconds
			} else {
				h.row.Away += seconds
			}
		}
		at = until
	}
	for i := range changes {
		c := &changes[i]
		h.describe(c)
		if c.At.After(at) {
			count(c.At)
		}
		inside := !c.At.Before(b.from)
		wasAlive := isAlive(status)
		if !wasAlive && registered && isAlive(c.To) {
			h.endAbsence(b, since, c.At, inside)
		}
		if inside && c.To == event.Disconnected && (wasAlive || c.From != event.Disconnected) {
			h.addLoss(c)
		}
		if c.To != status {
			since = c.At
		}
		status, reason, registered = c.To, c.Reason, c.To != event.NeverConnected && c.Reason != event.AgentRemoved
	}
	count(b.until)
	if now := b.present[id]; now != nil {
		h.row.Name, h.ip, h.node, h.groups = cmp.Or(now.Name, h.row.Name), cmp.Or(now.IP, h.ip), cmp.Or(now.Node, h.node), now.Groups
	}
	if registered && status == event.Disconnected {
		h.absent = &Absent{ID: id, Name: h.row.Name, Since: since, Reason: reason}
		h.row.Longest = max(h.row.Longest, b.until.Sub(laterOf(since, b.from)).Seconds())
	}
	if h.row.active+h.row.Away == 0 && h.row.Losses == 0 && (!registered || status == event.NeverConnected) {
		return nil
	}
	return h
}

// startStatus returns an agent's status at the start of the report, and since when.
func (b *Builder) startStatus(id string, changes []Change) (event.Status, time.Time) {
	if len(changes) > 0 {
		return changes[0].From, b.from
	}
	if now := b.present[id]; now != nil {
		return now.Status, now.Since
	}
	return event.NeverConnected, b.from
}

func isAlive(s event.Status) bool { return s == event.Active || s == event.Pending }

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (h *agentHistory) describe(c *Change) {
	h.row.Name, h.ip, h.node = cmp.Or(c.Name, h.row.Name), cmp.Or(c.IP, h.ip), cmp.Or(c.Node, h.node)
	if len(c.Groups) > 0 {
		h.groups = c.Groups
	}
}

func (h *agentHistory) endAbsence(b *Builder, since, until time.Time, inside bool) {
	if !inside {
		return
	}
	h.returns++
	h.away = append(h.away, until.Sub(since).Seconds())
	h.row.Longest = max(h.row.Longest, until.Sub(laterOf(since, b.from)).Seconds())
}

func (h *agentHistory) addLoss(c *Change) {
	if c.Reason == event.AgentRemoved || c.Reason == event.AgentMoved {
		return
	}
	h.row.Losses++
	h.row.Reasons[c.Reason]++
	if c.Host != "" {
		h.hosts[c.Host]++
	}
	if known := c.KnownAt.Sub(c.LastSeen); !c.LastSeen.IsZero() && c.Reason != event.AgentShutdown && known >= 0 {
		h.detected = append(h.detected, known.Seconds())
	}
}

// periods are times in which somebody watched.
type periods []period

type period struct{ began, ended time.Time }

// add adds the part of a period that is between from and until.
func (p *periods) add(began, ended, from, until time.Time) {
	began = laterOf(began, from)
	if ended.After(until) {
		ended = until
	}
	if ended.After(began) {
		*p = append(*p, period{began, ended})
	}
}

// merge makes of periods that overlap one.
func (p *periods) merge() {
	slices.SortFunc(*p, func(a, b period) int { return a.began.Compare(b.began) })
	merged := (*p)[:0]
	for _, next := range *p {
		if last := len(merged) - 1; last >= 0 && !next.began.After(merged[last].ended) {
			merged[last].ended = laterOf(merged[last].ended, next.ended)
			continue
		}
		merged = append(merged, next)
	}
	*p = merged
}

// within returns how much of the time between two times is in the merged periods.
func (p periods) within(from, until time.Time) (sum time.Duration) {
	first, _ := slices.BinarySearchFunc(p, from, func(e period, t time.Time) int { return e.ended.Compare(t) })
	for _, e := range p[first:] {
		if !e.began.Before(until) {
			break
		}
		began, ended := laterOf(e.began, from), e.ended
		if ended.After(until) {
			ended = until
		}
		if ended.After(began) {
			sum += ended.Sub(began)
		}
	}
	return sum
}
