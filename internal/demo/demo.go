package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/agentsim"
)

var ways = []agentsim.Death{agentsim.Shutdown, agentsim.Kill, agentsim.Hang, agentsim.Cut}

// told says a way to die in plain words.
var told = map[agentsim.Death]string{
	agentsim.Shutdown: "is shut down properly",
	agentsim.Kill:     "is killed: its process ends without a word",
	agentsim.Hang:     "hangs: its connection is open, and it says nothing",
	agentsim.Cut:      "is cut off from the network",
}

// undone says how each is undone.
var undone = map[agentsim.Death]string{
	agentsim.Shutdown: "is started again",
	agentsim.Kill:     "is started again",
	agentsim.Hang:     "gets to work again",
	agentsim.Cut:      "has its network back",
}

const (
	deathPause = 700 * time.Millisecond // between two deaths
	deadTime   = 2 * time.Second        // from the message about a death to the revival
	tick       = 100 * time.Millisecond
)

// Config says what to show.
type Config struct {
	Agents  int
	For     time.Duration // 0: until ctx ends
	Version string
	Out     io.Writer // what happens, in plain words
}

// play is a demo under way.
type play struct {
	*stage
	out     io.Writer
	start   time.Time
	report  Report
	active  map[string]bool
	gone    map[string]*deed // agents that were made to die and are not back
	next    int              // counts deaths
	nextAt  time.Time
	curtain time.Time // no deaths after this; zero: none is set
	opened  bool      // all agents have been active
}

// deed is what was done to an agent.
type deed struct {
	how     agentsim.Death
	at      time.Time
	found   time.Time // when the message about it came
	revived time.Time
}

// Run plays a demo. The error says what could not be started or went wrong
// besides Pulse's own judgement, which is in the report.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	s, err := open(context.WithoutCancel(ctx), cfg.Agents, cfg.Version)
	if err != nil {
		return nil, err
	}
	p := newPlay(s, cfg.Out, time.Now())
	if cfg.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, cfg.For)
		defer cancel()
		p.curtain = p.start.Add(cfg.For - slowest)
	}
	fmt.Fprintf(p.out, "Pulse watches %d simulated agents. Its messages are at %s, subjects %s.\n"+
		"Each agent gets a keep-alive every %v; %d unanswered ones, or %v without any sign of life, and it is gone.\n\n",
		cfg.Agents, s.node.NATSURL(), event.Prefix(event.DefaultPrefix).All(), interval, maxMissed, timeout)
	err = p.run(ctx)
	p.judge(time.Now())
	if closing := s.close(); err == nil {
		err = closing
	}
	return &p.report, err
}

func newPlay(s *stage, out io.Writer, start time.Time) *play {
	return &play{stage: s, out: out, start: start, active: make(map[string]bool), gone: make(map[string]*deed),
		report: Report{Agents: len(s.ids), Detections: []Detection{}, False: []Detection{}, Missed: []string{}}}
}

// run plays until ctx ends.
func (p *play) run(ctx context.Context) error {
	clock := time.NewTicker(tick)
	defer clock.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-p.failed:
			return err
		case m := <-p.heard:
			if err := p.hear(m.Subject, m.Data, time.Now()); err != nil {
				return err
			}
		case now := <-clock.C:
			p.act(now)
		}
	}
}

// act lets an agent die, or come back, if it is time.
func (p *play) act(now time.Time) {
	for id, d := range p.gone {
		if !d.found.IsZero() && d.revived.IsZero() && now.Sub(d.found) >= deadTime {
			d.revived = now
			p.say(now, id, undone[d.how])
			_ = p.agents.Revive(id) // the id is one of the fleet's
		}
	}
	if !p.opened || now.Before(p.nextAt) || !p.curtain.IsZero() && now.After(p.curtain) {
		return
	}
	how := ways[p.next%len(ways)]
	id := p.ids[p.next%len(p.ids)]
	if p.gone[id] != nil || !p.active[id] {
		return // it has not come back yet; try again at the next tick
	}
	p.next++
	p.nextAt = now.Add(deathPause)
	if p.next%len(ways) == 0 {
		p.nextAt = now.Add(4 * deathPause)
	}
	p.gone[id] = &deed{how: how, at: time.Now()}
	p.say(now, id, told[how])
	_ = p.agents.Die(id, how)
}

// hear takes a message as an XDR platform would.
func (p *play) hear(subject string, data []byte, now time.Time) error {
	if strings.Contains(subject, ".alerts.") {
		p.report.Alerts++
		return nil
	}
	var m struct {
		Event  *event.KeepAlive    `json:"event"`
		Change *event.StatusChange `json:"status_change"`
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("message on %s: %w", subject, err)
	}
	switch {
	case m.Event != nil && m.Event.EventType == event.KeepAliveSent:
		p.report.Sent++
	case m.Event != nil && m.Event.EventType == event.KeepAliveAcknowledged:
		p.report.Acknowledged++
	case m.Change != nil:
		p.report.Changes++
		p.changed(m.Change, now)
	}
	return nil
}

func (p *play) changed(c *event.StatusChange, now time.Time) {
	d := p.gone[c.AgentID]
	switch {
	case c.CurrentStatus == event.Active:
		p.active[c.AgentID] = true
		if d != nil && !d.revived.IsZero() {
			p.say(now, c.AgentID, fmt.Sprintf("→ %s, known after %v", c.Reason, short(now.Sub(d.revived))))
			delete(p.gone, c.AgentID)
		}
		if !p.opened && p.allActive() {
			p.opened, p.nextAt = true, now.Add(time.Second)
			fmt.Fprintf(p.out, "%6.1fs  all %d agents are active\n", now.Sub(p.start).Seconds(), len(p.ids))
		}
	case c.CurrentStatus == event.Pending:
		p.active[c.AgentID] = false
	case c.CurrentStatus == event.Disconnected:
		p.active[c.AgentID] = false
		if d == nil || !d.found.IsZero() {
			p.report.False = append(p.report.False, Detection{AgentID: c.AgentID, Reason: c.Reason})
			p.say(now, c.AgentID, "→ "+c.Reason+", though nothing was done to it")
			return
		}
		d.found = now
		after := now.Sub(d.at)
		p.report.Detections = append(p.report.Detections, Detection{AgentID: c.AgentID, How: d.how.String(), Reason: c.Reason,
			AfterMS: float64(after.Round(100*time.Microsecond)) / float64(time.Millisecond)})
		p.say(now, c.AgentID, fmt.Sprintf("→ disconnected, %s, alert level %d: known after %v", c.Reason, c.AlertLevel, short(after)))
	}
}

func (p *play) allActive() bool {
	for _, id := range p.ids {
		if !p.active[id] {
			return false
		}
	}
	return true
}

// judge finds the deaths that nobody told, and the agents that nobody saw
// alive, though there was time.
func (p *play) judge(end time.Time) {
	for id, d := range p.gone {
		if d.found.IsZero() && end.Sub(d.at) > slowest {
			p.report.Missed = append(p.report.Missed, id)
		}
	}
	slices.Sort(p.report.Missed)
	if p.opened || end.Sub(p.start) < slowest {
		return
	}
	for _, id := range p.ids {
		if !p.active[id] {
			p.report.NeverActive++
		}
	}
}

func (p *play) say(now time.Time, id, what string) {
	fmt.Fprintf(p.out, "%6.1fs  %-11s %s\n", now.Sub(p.start).Seconds(), p.names[id], what)
}
