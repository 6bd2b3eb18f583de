package top

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/wazuh-pulse/pulse/internal/console"
	"github.com/wazuh-pulse/pulse/internal/printable"
)

// Node is what /api/v1/status says of the node, as far as it is shown.
type Node struct {
	Node    string `json:"node"`
	Version string `json:"version"`
	Uptime  int64  `json:"uptime"` // seconds
	Link    struct {
		Kind        string `json:"kind"`
		Connections int64  `json:"connections"`
		Attach      *struct {
			Connections int64  `json:"connections"`
			Problem     string `json:"problem"`
		} `json:"attach"`
	} `json:"link"`
	NATS struct {
		State   string `json:"state"`
		Problem string `json:"problem"`
	} `json:"nats"`
}

// Summary is a status event of the stream.
type Summary struct {
	console.Summary
	Node Node `json:"node"`
}

// Board is what is shown.
type Board struct {
	Colour bool
	Live   bool // events come in

	now    Summary
	known  bool
	away   console.Agents
	recent []console.Event // newest first
}

const recentMost = 200

// Status takes how the node is.
func (b *Board) Status(s *Summary) { b.now, b.known = *s, true }

// Away takes the agents that are disconnected, those that left last first.
func (b *Board) Away(a *console.Agents) { b.away = *a }

// Recent takes what happened before, newest first.
func (b *Board) Recent(events []console.Event) { b.recent = events[:min(len(events), recentMost)] }

// Changes takes what happened, oldest first.
func (b *Board) Changes(events []console.Event) {
	all := make([]console.Event, 0, recentMost)
	for i := len(events) - 1; i >= 0 && len(all) < recentMost; i-- {
		all = append(all, events[i])
	}
	b.recent = append(all, b.recent[:min(len(b.recent), recentMost-len(all))]...)
}

// Draw returns the lines of a screen, none wider than it and as many as fit.
func (b *Board) Draw(width, height int, now time.Time) []string {
	p := &page{width: max(width, 20), colour: b.Colour}
	b.head(p, now)
	b.fleet(p)
	b.node(p)
	left := max(height-len(p.lines)-4, 4) // two titles, each with a line before it
	rows := min(len(b.away.Agents), max(left/2, left-len(b.recent)))
	p.line()
	p.line(part{bold, fmt.Sprintf("AWAY  %d", b.now.Agents.Disconnected)})
	b.listAway(p, rows, now)
	p.line()
	p.line(part{bold, "JUST NOW"})
	for i := range b.recent[:min(len(b.recent), max(height-len(p.lines), 1))] {
		tell(p, &b.recent[i])
	}
	return p.lines[:min(len(p.lines), max(height, 1))]
}

func (b *Board) head(p *page, now time.Time) {
	verdict, tone := "calm", green
	switch a := b.now.Agents; {
	case !b.known:
		verdict, tone = "asking", dim
	case b.now.Outage != nil:
		verdict, tone = fmt.Sprintf("FLEET OUTAGE: %d of %d lost since %s", b.now.Outage.Lost, b.now.Outage.Watched, b.now.Outage.Since.Local().Format(time.TimeOnly)), red
	case a.Disconnected > 0:
		verdict, tone = fmt.Sprintf("%d away", a.Disconnected), yellow
	case a.Active+a.Pending == 0:
		verdict, tone = "nobody is connected", dim
	}
	state, stateTone := "live", dim
	if !b.Live {
		state, stateTone = "not connected", red
	}
	p.line(part{bold, "PULSE " + printable.Only(b.now.Node.Node)}, part{dim, " " + printable.Only(b.now.Node.Version) + "  "}, part{tone, verdict},
		part{stateTone, "  " + state + " " + now.Format(time.TimeOnly)})
}

// fleet draws the counts, and a bar in which each status has a sign of its own.
func (b *Board) fleet(p *page) {
	a := b.now.Agents
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
	p.line(counts...)
	p.line(bar...)
}

func (b *Board) node(p *page) {
	n := &b.now.Node
	link := fmt.Sprintf("%s, %d connections", n.Link.Kind, n.Link.Connections)
	if a := n.Link.Attach; a != nil {
		link = fmt.Sprintf("%s, %d connections %s", n.Link.Kind, a.Connections, a.Problem)
	}
	if !b.known {
		return
	}
	p.line(part{dim, fmt.Sprintf("link %s · NATS %s · outbox %d · sweep %.1f ms late · sequence %d · up %v", printable.Only(strings.TrimSpace(link)),
		printable.Only(strings.TrimSpace(n.NATS.State+" "+n.NATS.Problem)), b.now.Point.Depth, b.now.Point.Late, b.now.Sequence, time.Duration(n.Uptime)*time.Second)})
	for _, f := range b.now.Health.Failures {
		p.line(part{red, "! " + printable.Only(f)})
	}
	for _, w := range b.now.Health.Warnings {
		p.line(part{yellow, "! " + printable.Only(w)})
	}
}

func (b *Board) listAway(p *page, rows int, now time.Time) {
	if len(b.away.Agents) == 0 {
		p.line(part{dim, "nobody"})
		return
	}
	for i := range b.away.Agents[:rows] {
		a := &b.away.Agents[i]
		seen := "never"
		if a.LastSeen != nil {
			seen = short(now.Sub(*a.LastSeen)) + " ago"
		}
		p.line(part{red, "× "}, part{bold, fit(a.Name, p.names()) + " "}, part{"", fit(a.IP, 15) + " " + fit(a.Reason, 17) + " "},
			part{dim, "since " + fit(short(now.Sub(a.Since)), 6) + " seen " + seen})
	}
	if more := b.away.Total - rows; more > 0 {
		p.line(part{dim, fmt.Sprintf("and %d more", more)})
	}
}

// tell tells an event in a line.
func tell(p *page, e *console.Event) {
	at := part{dim, e.KnownAt.Local().Format(time.TimeOnly) + " "}
	known, to := "", ""
	if e.Delay != nil {
		known = " known after " + short(time.Duration(*e.Delay*float64(time.Millisecond)))
	}
	if p.width >= wide { // else the sign has to do
		to = fit(e.To, 12) + " "
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
		p.line(at, part{tone, sign}, part{bold, fit(e.Name, p.names()) + " "}, part{"", fit(e.IP, 15) + " " + to + fit(e.Reason, 17)}, part{dim, known})
	case "agent_flapping":
		p.line(at, part{yellow, "~ "}, part{bold, fit(e.Name, p.names()) + " "}, part{"", fit(e.IP, 15) + fmt.Sprintf(" flaps: %d status changes", e.Changes)})
	case "fleet_outage":
		f := cmp.Or(e.Fleet, &console.Outage{})
		p.line(at, part{red, fmt.Sprintf("FLEET OUTAGE: %d of %d agents lost, %d fell silent, %d closed their connections", f.Lost, f.Watched, f.Silent, f.Closed)})
	case "fleet_recovered":
		f := cmp.Or(e.Fleet, &console.Outage{})
		p.line(at, part{green, fmt.Sprintf("the fleet is back: %d of %d", f.Back, f.Lost)})
	default:
		p.line(at, part{yellow, "Pulse itself was stopped or starved"})
	}
}
