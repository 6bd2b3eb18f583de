// Package report computes, from the changes of a fleet, what somebody has to show who
// answers for it: how available the agents were, what was lost and why, how soon that was
// known, and which agents are missing.
//
// A [Builder] is given what happened, from [ReadAuditLog] or elsewhere, in any order, and
// makes a [Report] of it. The package starts no goroutines.
package report

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/view"
)

// By is what the rows of a report are about.
type By string

// What rows may be about.
const (
	ByAgent   By = "agent"
	ByGroup   By = "group" // of Wazuh; an agent in several is in the row of each
	ByNetwork By = "network"
	ByNode    By = "node"
)

// Change is a change of an agent's status.
type Change struct {
	At, KnownAt, LastSeen time.Time // LastSeen is zero if that is not known
	Node                  string    // that published it
	Agent, Name, IP       string
	Groups                []string
	From, To              event.Status
	Reason                event.Reason
	Host                  event.Host
}

// Outage is an outage of the fleet.
type Outage struct {
	Since  time.Time  `json:"since"`
	Until  *time.Time `json:"until"` // null: it has not ended
	Node   string     `json:"node"`
	Lost   int        `json:"agents_lost"`
	Agents int        `json:"agents_watched"`
}

// Agent is an agent as it is now.
type Agent struct {
	ID, Name, IP, Node string
	Groups             []string
	Status             event.Status
	Since              time.Time
}

// Report is a report about a time.
type Report struct {
	From    time.Time `json:"from"`
	Until   time.Time `json:"until"`
	By      By        `json:"by"`
	Nodes   []string  `json:"nodes"`   // whose records it is made from
	Watched float64   `json:"watched"` // the part of the time in which Pulse ran

	Agents       int                  `json:"agents"`
	Availability *float64             `json:"availability"` // of the agents, while Pulse ran: 0 to 1; null if there was none
	Losses       int                  `json:"losses"`
	Returns      int                  `json:"returns"`
	Reasons      map[event.Reason]int `json:"losses_by_reason"`
	Hosts        map[event.Host]int   `json:"losses_by_host"` // of the losses, whether the host answered
	Alerts       int                  `json:"alerts"`         // that were sent: of losses, repeated ones too
	Detection    Quantiles            `json:"time_to_detect_seconds"`
	Away         Quantiles            `json:"time_away_seconds"` // of the absences that ended
	Outages      []Outage             `json:"outages"`

	Rows []Row `json:"rows"` // by what the report is by, the least available first

	Flapping       []Row    `json:"flapping"`        // the agents that were lost most often, ten at most, twice or more
	AwayNow        []Absent `json:"away_now"`        // the longest away first
	NeverConnected []Absent `json:"never_connected"` // null: the present fleet is not known
	Missing        []string `json:"missing"`         // expected, and not in the fleet; null: nothing was expected
	Unexpected     []Absent `json:"unexpected"`      // in the fleet, and not expected
}

// Row is a part of the fleet.
type Row struct {
	Key          string               `json:"key"`
	Name         string               `json:"name,omitempty"` // of an agent
	Agents       int                  `json:"agents"`
	Availability *float64             `json:"availability"`
	Losses       int                  `json:"losses"`
	Reasons      map[event.Reason]int `json:"losses_by_reason"`
	Away         float64              `json:"away_seconds"` // while Pulse ran, of all its agents
	Longest      float64              `json:"longest_away_seconds"`

	active float64 // seconds
}

// Absent is an agent that is not there.
type Absent struct {
	ID     string       `json:"id"`
	Name   string       `json:"name"`
	Since  time.Time    `json:"since"`
	Reason event.Reason `json:"reason,omitempty"`
}

// Quantiles are those of durations, in seconds.
type Quantiles struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

func newQuantiles(values []float64) Quantiles {
	if len(values) == 0 {
		return Quantiles{}
	}
	slices.Sort(values)
	at := func(q float64) float64 { return values[min(int(q*float64(len(values))), len(values)-1)] }
	return Quantiles{len(values), at(0.5), at(0.9), at(0.99), values[len(values)-1]}
}

// Builder collects what a report is made of. It is for one goroutine.
type Builder struct {
	from, until time.Time
	watched     periods
	nodes       map[string]bool
	changes     map[string][]Change // by agent
	lines       map[lineKey]bool    // of audit logs, that were read
	outages     []Outage
	alerts      int
	present     map[string]*Agent // nil: not known
	expected    map[string]string // by folded name; nil: nothing is
}

// NewBuilder returns a builder of a report from a time to another.
func NewBuilder(from, until time.Time) *Builder {
	return &Builder{from: from, until: until, nodes: make(map[string]bool), changes: make(map[string][]Change), lines: make(map[lineKey]bool)}
}

// AddRun adds a time in which a node watched.
func (b *Builder) AddRun(node string, began, ended time.Time) {
	b.nodes[node] = true
	b.watched.add(began, ended, b.from, b.until)
}

// AddChange adds a change, which may be from before the time.
func (b *Builder) AddChange(c Change) {
	if c.At.Before(b.until) {
		b.changes[c.Agent] = append(b.changes[c.Agent], c)
	}
}

// AddAlert counts an alert.
func (b *Builder) AddAlert(at time.Time) {
	if !at.Before(b.from) && at.Before(b.until) {
		b.alerts++
	}
}

// BeginOutage adds an outage of a node's fleet.
func (b *Builder) BeginOutage(node string, at time.Time, lost, watched int) {
	b.outages = append(b.outages, Outage{Since: at, Node: node, Lost: lost, Agents: watched})
}

// EndOutage ends the node's last outage.
func (b *Builder) EndOutage(node string, at time.Time, lost int) {
	for i := len(b.outages) - 1; i >= 0; i-- {
		if o := &b.outages[i]; o.Node == node {
			if o.Until == nil {
				o.Until, o.Lost = &at, max(o.Lost, lost)
			}
			return
		}
	}
}

// SetPresent sets the fleet as it is now.
func (b *Builder) SetPresent(fleet []Agent) {
	b.present = make(map[string]*Agent, len(fleet))
	for i := range fleet {
		b.present[fleet[i].ID] = &fleet[i]
	}
}

// Report makes the report.
func (b *Builder) Report(by By) *Report {
	b.watched.merge()
	r := &Report{From: b.from, Until: b.until, By: by, Nodes: slices.Sorted(maps.Keys(b.nodes)), Reasons: make(map[event.Reason]int),
		Hosts: make(map[event.Host]int), Alerts: b.alerts, Outages: []Outage{}, Rows: []Row{}, Flapping: []Row{}, AwayNow: []Absent{}}
	if all := b.until.Sub(b.from); all > 0 {
		r.Watched = b.watched.within(b.from, b.until).Seconds() / all.Seconds()
	}
	for _, o := range b.outages {
		if o.Since.Before(b.until) && (o.Until == nil || o.Until.After(b.from)) {
			r.Outages = append(r.Outages, o)
		}
	}
	rows := make(map[string]*Row)
	var agents []Row
	var detected, away []float64
	ids := make(map[string]bool)
	for id := range b.changes {
		ids[id] = true
	}
	for id, a := range b.present {
		if a.Node == "" || b.nodes[a.Node] { // not another node's, whose records these are not
			ids[id] = true
		}
	}
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		h := b.followAgent(id)
		if h == nil {
			continue
		}
		r.Agents++
		r.Losses += h.row.Losses
		r.Returns += h.returns
		for reason, n := range h.row.Reasons {
			r.Reasons[reason] += n
		}
		for host, n := range h.hosts {
			r.Hosts[host] += n
		}
		detected, away = append(detected, h.detected...), append(away, h.away...)
		if h.absent != nil {
			r.AwayNow = append(r.AwayNow, *h.absent)
		}
		agents = append(agents, h.row)
		for _, key := range h.keys(by) {
			row := rows[key]
			if row == nil {
				row = &Row{Key: key, Reasons: make(map[event.Reason]int)}
				rows[key] = row
			}
			row.addAgent(&h.row)
			if by == ByAgent {
				row.Name = h.row.Name
			}
		}
	}
	r.Detection, r.Away = newQuantiles(detected), newQuantiles(away)
	r.setAvailability(agents)
	for _, key := range slices.Sorted(maps.Keys(rows)) {
		row := rows[key]
		row.Availability = ratio(row.active, row.Away)
		r.Rows = append(r.Rows, *row)
	}
	slices.SortStableFunc(r.Rows, func(a, b Row) int { return compareAvailability(a.Availability, b.Availability) })
	slices.SortStableFunc(r.AwayNow, func(a, b Absent) int { return a.Since.Compare(b.Since) })
	b.compareFleet(r)
	return r
}

// setAvailability sets what is of all agents together.
func (r *Report) setAvailability(agents []Row) {
	var all Row
	all.Reasons = make(map[event.Reason]int)
	for i := range agents {
		all.addAgent(&agents[i])
	}
	r.Availability = ratio(all.active, all.Away)
	slices.SortStableFunc(agents, func(a, b Row) int { return cmp.Compare(b.Losses, a.Losses) })
	for i := range agents[:min(len(agents), 10)] {
		if agents[i].Losses >= 2 {
			agents[i].Availability = ratio(agents[i].active, agents[i].Away)
			r.Flapping = append(r.Flapping, agents[i])
		}
	}
}

func (row *Row) addAgent(a *Row) {
	row.Agents++
	row.Losses += a.Losses
	row.Away += a.Away
	row.active += a.active
	row.Longest = max(row.Longest, a.Longest)
	for reason, n := range a.Reasons {
		row.Reasons[reason] += n
	}
}

// ratio returns the part of the time that is active; nil if there is none.
func ratio(active, away float64) *float64 {
	if active+away <= 0 {
		return nil
	}
	part := active / (active + away)
	return &part
}

// compareAvailability orders the least available first, and what has none last.
func compareAvailability(a, b *float64) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return 1
	case b == nil:
		return -1
	}
	return cmp.Compare(*a, *b)
}

// keys returns the rows that an agent is in.
func (h *agentHistory) keys(by By) []string {
	switch by {
	case ByGroup:
		if len(h.groups) == 0 {
			return []string{"(none)"}
		}
		return h.groups
	case ByNetwork:
		return []string{cmp.Or(view.NetworkOf(h.ip), "(unknown)")}
	case ByNode:
		return []string{cmp.Or(h.node, "(unknown)")}
	}
	return []string{h.row.Key}
}
