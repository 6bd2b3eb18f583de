// Package top renders a node's state as text for a terminal: the fleet in one
// line, the disconnected agents, the latest events, and the node itself. Its
// input is what the console's API returns; it knows neither terminals nor
// connections.
//
// Names and addresses come from agents: characters in them that could control
// a terminal are replaced. A [Board] must not be used by several goroutines at
// once.
package top

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/plural"
	"github.com/wazuh-pulse/pulse/internal/printable"
	"github.com/wazuh-pulse/pulse/internal/view"
)

// Node is the part of /api/v1/status about the node that is shown.
type Node struct {
	Node    string `json:"node"`
	Version string `json:"version"`
	Uptime  int64  `json:"uptime"` // seconds
	Link    struct {
		Kind        string `json:"kind"`
		Connections int64  `json:"connections"`
		Attach      *struct {
			Connections int64   `json:"connections"`
			Problem     string  `json:"problem"`
			Unaskable   int64   `json:"agents_not_asked"`
			LostAfter   float64 `json:"not_asked_lost_after"` // seconds
		} `json:"attach"`
	} `json:"link"`
	NATS struct {
		State   string `json:"state"`
		Problem string `json:"problem"`
	} `json:"nats"`
}

// Summary is an event of the stream with the state of the fleet and the node.
type Summary struct {
	view.Summary
	Node Node `json:"node"`
}

// Board holds what is shown.
type Board struct {
	Colour bool
	Live   bool   // the stream of events is open
	Prompt string // at the bottom while a search is typed, or what is wrong with it; "" for none

	filter       *Filter
	scroll       [2]int // lines scrolled, by pane
	rows         [2]int // that the panes had at the last draw
	focused      Pane
	summary      Summary
	hasSummary   bool
	disconnected view.AgentPage
	events       []view.Event // newest first
}

// Pane is a list of the board that can be scrolled.
type Pane int

// The panes.
const (
	Away Pane = iota
	JustNow
)

const maxEvents = 2000

// SetFilter selects the agents that are shown, and their events; nil for all.
func (b *Board) SetFilter(f *Filter) { b.filter, b.scroll = f, [2]int{} }

// Filter returns the present filter.
func (b *Board) Filter() *Filter { return b.filter }

// SwitchPane has the other list scroll.
func (b *Board) SwitchPane() { b.focused = 1 - b.focused }

// ScrollLines scrolls by lines, down unless n is negative. The next draw stops at the ends.
func (b *Board) ScrollLines(n int) {
	b.scroll[b.focused] = max(b.scroll[b.focused]+n, 0)
}

// ScrollPages scrolls by as many pages.
func (b *Board) ScrollPages(n int) { b.ScrollLines(n * max(b.rows[b.focused], 1)) }

// ScrollTo scrolls to the beginning, or to the end.
func (b *Board) ScrollTo(end bool) {
	b.scroll[b.focused] = 0
	if end {
		b.scroll[b.focused] = maxScroll
	}
}

// maxScroll is beyond the end of any list.
const maxScroll = 1 << 30

// scrollPane returns which rows of a pane are shown, of n, and keeps the place within the list.
func (b *Board) scrollPane(pane Pane, n, rows int) (from, to int) {
	rows = max(min(n, rows), 0)
	b.rows[pane] = rows
	b.scroll[pane] = min(b.scroll[pane], n-rows)
	return b.scroll[pane], b.scroll[pane] + rows
}

// titleOf returns the title of a pane: which rows are shown, if not all, and the filter.
func (b *Board) titleOf(pane Pane, title string, n, from, to int) []part {
	note := ""
	if to-from < n {
		note = fmt.Sprintf("  %d-%d of %d", from+1, to, n)
		if b.focused == pane {
			note += "  ↑↓"
		}
	}
	if f := b.filter.String(); f != "" {
		note += "  filter " + printable.Only(f)
	}
	return []part{{bold, title}, {dim, note}}
}

// SetSummary sets the state of the fleet and the node.
func (b *Board) SetSummary(s *Summary) { b.summary, b.hasSummary = *s, true }

// SetDisconnected sets the disconnected agents, the last to leave first.
func (b *Board) SetDisconnected(a *view.AgentPage) { b.disconnected = *a }

// SetEvents sets the events that happened before, newest first.
func (b *Board) SetEvents(events []view.Event) { b.events = events[:min(len(events), maxEvents)] }

// AddEvents adds events, oldest first.
func (b *Board) AddEvents(events []view.Event) {
	all := make([]view.Event, 0, maxEvents)
	for i := len(events) - 1; i >= 0 && len(all) < maxEvents; i-- {
		all = append(all, events[i])
	}
	b.events = append(all, b.events[:min(len(b.events), maxEvents-len(all))]...)
}

// Draw returns the lines of a screen, none wider than width and as many as
// fit.
func (b *Board) Draw(width, height int, now time.Time) []string {
	p := &page{width: max(width, 20), colour: b.Colour}
	b.drawHeader(p, now)
	b.drawFleet(p)
	b.drawNode(p)
	away, events := b.selectAgents(), mergeBursts(b.selectEvents())
	left := max(height-len(p.lines)-4, 4) // two titles, each with a line before it
	if b.Prompt != "" {
		left--
	}
	from, to := b.scrollPane(Away, len(away), min(len(away), max(left/2, left-len(events))))
	count := fmt.Sprintf("AWAY  %d", b.summary.Agents.Disconnected)
	if b.filter.String() != "" {
		count = fmt.Sprintf("AWAY  %d of %d", len(away), b.summary.Agents.Disconnected)
	}
	p.addLine()
	p.addLine(b.titleOf(Away, count, len(away), from, to)...)
	b.drawDisconnected(p, away, from, to, now)
	p.addLine()
	room := height - len(p.lines) - 1
	if b.Prompt != "" {
		room--
	}
	from, to = b.scrollPane(JustNow, len(events), max(room, 1))
	p.addLine(b.titleOf(JustNow, "JUST NOW", len(events), from, to)...)
	for _, e := range events[from:to] {
		if len(e) > 1 {
			drawBurst(p, e)
		} else {
			drawEvent(p, e[0], b.nodeColumn(cmp.Or(e[0].Node, b.summary.Node.Node)))
		}
	}
	p.lines = p.lines[:min(len(p.lines), max(height, 1))]
	if b.Prompt != "" {
		p.lines = p.lines[:min(len(p.lines), max(height-1, 0))]
		for len(p.lines) < height-1 {
			p.addLine()
		}
		p.addLine(part{yellow, printable.Only(b.Prompt)})
	}
	return p.lines
}

// selectAgents returns the disconnected agents that the filter selects.
func (b *Board) selectAgents() (away []*view.LocatedAgent) {
	for i := range b.disconnected.Agents {
		if a := &b.disconnected.Agents[i]; b.filter.MatchesAgent(a) {
			away = append(away, a)
		}
	}
	return away
}

func (b *Board) selectEvents() (events []*view.Event) {
	for i := range b.events {
		if e := &b.events[i]; b.filter.matchesEvent(e) {
			events = append(events, e)
		}
	}
	return events
}

func (b *Board) drawHeader(p *page, now time.Time) {
	verdict, tone := "calm", green
	switch a := b.summary.Agents; {
	case !b.hasSummary:
		verdict, tone = "asking", dim
	case b.summary.Outage != nil:
		verdict, tone = fmt.Sprintf("FLEET OUTAGE: %d of %d lost since %s", b.summary.Outage.Lost, b.summary.Outage.Watched, b.summary.Outage.Since.Local().Format(time.TimeOnly)), red
	case a.Disconnected > 0:
		verdict, tone = fmt.Sprintf("%d away", a.Disconnected), yellow
	case a.Active+a.Pending == 0:
		verdict, tone = "nobody is connected", dim
	}
	state, stateTone := "live", dim
	if !b.Live {
		state, stateTone = "not connected", red
	}
	p.addLine(part{bold, "PULSE " + printable.Only(b.summary.Node.Node)}, part{dim, " " + printable.Only(b.summary.Node.Version) + "  "}, part{tone, verdict},
		part{stateTone, "  " + state + " " + now.Format(time.TimeOnly)})
}

// drawFleet draws the counts, and a bar in which each status has its own sign.
func (b *Board) drawFleet(p *page) {
	a := b.summary.Agents
	kinds := []struct {
		n          int
		name, sign string
		tone       string
	}{{a.Active, "active", "█", green}, {a.Disconnected, "disconnected", "×", red}, {a.Pending, "pending", "▒", yellow}, {a.NeverConnected, "never connected", "·", dim}}
	total := a.Active + a.Disconnected + a.Pending + a.NeverConnected
	var counts, bar []part
	left := p.width
	for _, k := range kinds {
		counts = append(counts, part{k.tone, k.sign + " "}, part{bold, fmt.Sprint(k.n)}, part{"", " " + k.name + "   "})
		cells := 0
		if k.n > 0 {
			cells = min(max(k.n*p.width/total, 1), left)
		}
		left -= cells
		bar = append(bar, part{k.tone, strings.Repeat(k.sign, cells)})
	}
	p.addLine(counts...)
	p.addLine(bar...)
}

func (b *Board) drawNode(p *page) {
	n := &b.summary.Node
	link := fmt.Sprintf("%s, %s", n.Link.Kind, plural.CountNoun(n.Link.Connections, "connection"))
	if a := n.Link.Attach; a != nil {
		link = fmt.Sprintf("%s, %s", n.Link.Kind, plural.CountNoun(a.Connections, "connection"))
		if a.Unaskable > 0 {
			link += fmt.Sprintf(", %s seen in the database only (lost after %v)", plural.CountNoun(a.Unaskable, "agent"), time.Duration(a.LostAfter)*time.Second)
		}
		link += " " + a.Problem
	}
	if !b.hasSummary {
		return
	}
	p.addLine(part{dim, fmt.Sprintf("link %s · NATS %s · outbox %d · sweep %.1f ms late · sequence %d · up %v", printable.Only(strings.TrimSpace(link)),
		printable.Only(strings.TrimSpace(n.NATS.State+" "+n.NATS.Problem)), b.summary.Point.Depth, b.summary.Point.Late, b.summary.Sequence, time.Duration(n.Uptime)*time.Second)})
	if c := b.summary.Cluster; c != nil {
		p.addLine(describeCluster(c)...)
	}
	for _, f := range b.summary.Health.Failures {
		p.addLine(part{red, "! " + printable.Only(f)})
	}
	for _, w := range b.summary.Health.Warnings {
		p.addLine(part{yellow, "! " + printable.Only(w)})
	}
}

// describeCluster returns the nodes of the cluster in one line: those that are up, and the others.
func describeCluster(c *view.NodeList) []part {
	up, agents := 0, 0
	var wrong []part
	for i := range c.Nodes {
		n := &c.Nodes[i]
		agents += n.Agents
		switch n.State {
		case view.NodeUp:
			up++
			continue
		case view.NodeLost, view.NodeCutOff:
			wrong = append(wrong, part{red, fmt.Sprintf(" · %s %s %s", printable.Only(n.Name), strings.ReplaceAll(printable.Only(n.State), "_", " "),
				formatDuration(time.Duration(n.BeatAge*float64(time.Second))))})
		default:
			wrong = append(wrong, part{yellow, fmt.Sprintf(" · %s %s", printable.Only(n.Name), printable.Only(n.State))})
		}
	}
	return append([]part{{dim, fmt.Sprintf("nodes %d, %d up, %s", len(c.Nodes), up, plural.CountNoun(agents, "agent"))}}, wrong...)
}

func (b *Board) drawDisconnected(p *page, away []*view.LocatedAgent, from, to int, now time.Time) {
	if len(away) == 0 {
		p.addLine(part{dim, "nobody"})
		return
	}
	for _, a := range away[from:to] {
		seen := "never"
		if a.LastSeen != nil {
			seen = formatDuration(now.Sub(*a.LastSeen)) + " ago"
		}
		p.addLine(part{red, "× "}, part{bold, fitText(a.Name, p.nameWidth()) + " "}, part{"", fitText(a.IP, 15) + " " + fitText(a.Reason, 17) + " " + b.nodeColumn(a.Node)},
			part{dim, "since " + fitText(formatDuration(now.Sub(a.Since)), 6) + " seen " + seen + describeInfo(&a.AgentInfo)})
	}
	if more := b.disconnected.Total - len(b.disconnected.Agents); to == len(away) && more > 0 {
		p.addLine(part{dim, fmt.Sprintf("and %d more that are not loaded", more)})
	}
}

// nodeColumn returns the node of an agent in the column of a cluster; "" outside of one.
func (b *Board) nodeColumn(node string) string {
	if b.summary.Cluster == nil {
		return ""
	}
	return fitText("node:"+cmp.Or(node, "-"), 15) + " "
}

// describeInfo returns what is known of an agent, to stand at the end of a line.
func describeInfo(i *event.AgentInfo) string {
	text := ""
	for _, known := range []string{strings.Join(i.WazuhGroups, ","), strings.TrimSpace(i.OSName + " " + i.OSVersion), i.AgentVersion} {
		if known != "" {
			text += " · " + printable.Only(known)
		}
	}
	return text
}

func drawEvent(p *page, e *view.Event, node string) {
	at := part{dim, e.KnownAt.Local().Format(time.TimeOnly) + " "}
	known, to := "", ""
	if e.Delay != nil {
		known = " known after " + formatDuration(time.Duration(*e.Delay*float64(time.Millisecond)))
	}
	if p.width >= fullWidth { // otherwise only the sign shows the status
		to = fitText(e.To, 12) + " "
	}
	switch e.Kind {
	case "status_change":
		sign, tone := statusSign(e.To)
		p.addLine(at, part{tone, sign}, part{bold, fitText(e.Name, p.nameWidth()) + " "}, part{"", fitText(e.IP, 15) + " " + to + fitText(e.Reason, 17)}, part{"", strings.TrimRight(" "+node, " ")}, part{dim, known})
	case "agent_away":
		p.addLine(at, part{red, "× "}, part{bold, fitText(e.Name, p.nameWidth()) + " "}, part{"", fitText(e.IP, 15) + " away for " + formatDuration(time.Duration(e.AwayFor)*time.Second)})
	case "agent_flapping":
		p.addLine(at, part{yellow, "~ "}, part{bold, fitText(e.Name, p.nameWidth()) + " "}, part{"", fitText(e.IP, 15) + fmt.Sprintf(" flaps: %d status changes", e.Changes)})
	case "fleet_outage":
		f := cmp.Or(e.Fleet, &view.Outage{})
		p.addLine(at, part{red, fmt.Sprintf("FLEET OUTAGE: %d of %s lost, %d fell silent, %d closed their connections", f.Lost, plural.CountNoun(f.Watched, "agent"), f.Silent, f.Closed)})
	case "fleet_recovered":
		f := cmp.Or(e.Fleet, &view.Outage{})
		p.addLine(at, part{green, fmt.Sprintf("the fleet is back: %d of %d", f.Back, f.Lost)})
	case "node_lost", "node_back":
		tone, text := red, "NODE LOST: "+printable.Only(e.Node)
		if e.Kind == "node_back" {
			tone, text = green, "node back: "+printable.Only(e.Node)
		}
		if e.Agents != nil {
			text += ", " + plural.CountNoun(*e.Agents, "agent")
		}
		p.addLine(at, part{tone, text})
	case "agent_duplicated":
		p.addLine(at, part{red, "= "}, part{bold, fitText(e.Name, p.nameWidth()) + " "}, part{"", "on several machines: " + joinMachines(e.Machines)})
	default:
		p.addLine(at, part{yellow, "Pulse itself was stopped or starved"})
	}
}

// joinMachines lists machines by address and node.
func joinMachines(list []event.Machine) string {
	var parts []string
	for _, m := range list {
		parts = append(parts, printable.Only(m.IPAddress+" at "+m.Node))
	}
	return strings.Join(parts, ", ")
}
