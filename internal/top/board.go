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
	Live   bool // the stream of events is open

	summary      Summary
	hasSummary   bool
	disconnected view.AgentPage
	events       []view.Event // newest first
}

const maxEvents = 200

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
	left := max(height-len(p.lines)-4, 4) // two titles, each with a line before it
	rows := min(len(b.disconnected.Agents), max(left/2, left-len(b.events)))
	p.addLine()
	p.addLine(part{bold, fmt.Sprintf("AWAY  %d", b.summary.Agents.Disconnected)})
	b.drawDisconnected(p, rows, now)
	p.addLine()
	p.addLine(part{bold, "JUST NOW"})
	for i := range b.events[:min(len(b.events), max(height-len(p.lines), 1))] {
		drawEvent(p, &b.events[i])
	}
	return p.lines[:min(len(p.lines), max(height, 1))]
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
	link := fmt.Sprintf("%s, %d connections", n.Link.Kind, n.Link.Connections)
	if a := n.Link.Attach; a != nil {
		link = fmt.Sprintf("%s, %d connections", n.Link.Kind, a.Connections)
		if a.Unaskable > 0 {
			link += fmt.Sprintf(", %d agents seen in the database only (lost after %v)", a.Unaskable, time.Duration(a.LostAfter)*time.Second)
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
	return append([]part{{dim, fmt.Sprintf("nodes %d, %d up, %d agents", len(c.Nodes), up, agents)}}, wrong...)
}

func (b *Board) drawDisconnected(p *page, rows int, now time.Time) {
	if len(b.disconnected.Agents) == 0 {
		p.addLine(part{dim, "nobody"})
		return
	}
	for i := range b.disconnected.Agents[:rows] {
		a := &b.disconnected.Agents[i]
		seen := "never"
		if a.LastSeen != nil {
			seen = formatDuration(now.Sub(*a.LastSeen)) + " ago"
		}
		p.addLine(part{red, "× "}, part{bold, fitText(a.Name, p.nameWidth()) + " "}, part{"", fitText(a.IP, 15) + " " + fitText(a.Reason, 17) + " "},
			part{dim, "since " + fitText(formatDuration(now.Sub(a.Since)), 6) + " seen " + seen + describeNode(a.Node) + describeInfo(&a.AgentInfo)})
	}
	if more := b.disconnected.Total - rows; more > 0 {
		p.addLine(part{dim, fmt.Sprintf("and %d more", more)})
	}
}

// describeNode returns the node of an agent of a cluster, to stand within a line.
func describeNode(node string) string {
	if node == "" {
		return ""
	}
	return " · " + printable.Only(node)
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

func drawEvent(p *page, e *view.Event) {
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
		sign, tone := "█ ", green
		switch e.To {
		case "disconnected":
			sign, tone = "× ", red
		case "pending":
			sign, tone = "▒ ", yellow
		}
		p.addLine(at, part{tone, sign}, part{bold, fitText(e.Name, p.nameWidth()) + " "}, part{"", fitText(e.IP, 15) + " " + to + fitText(e.Reason, 17)}, part{dim, known + describeNode(e.Node)})
	case "agent_away":
		p.addLine(at, part{red, "× "}, part{bold, fitText(e.Name, p.nameWidth()) + " "}, part{"", fitText(e.IP, 15) + " away for " + formatDuration(time.Duration(e.AwayFor)*time.Second)})
	case "agent_flapping":
		p.addLine(at, part{yellow, "~ "}, part{bold, fitText(e.Name, p.nameWidth()) + " "}, part{"", fitText(e.IP, 15) + fmt.Sprintf(" flaps: %d status changes", e.Changes)})
	case "fleet_outage":
		f := cmp.Or(e.Fleet, &view.Outage{})
		p.addLine(at, part{red, fmt.Sprintf("FLEET OUTAGE: %d of %d agents lost, %d fell silent, %d closed their connections", f.Lost, f.Watched, f.Silent, f.Closed)})
	case "fleet_recovered":
		f := cmp.Or(e.Fleet, &view.Outage{})
		p.addLine(at, part{green, fmt.Sprintf("the fleet is back: %d of %d", f.Back, f.Lost)})
	case "node_lost", "node_back":
		tone, text := red, "NODE LOST: "+printable.Only(e.Node)
		if e.Kind == "node_back" {
			tone, text = green, "node back: "+printable.Only(e.Node)
		}
		if e.Agents != nil {
			text += fmt.Sprintf(", %d agents", *e.Agents)
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
