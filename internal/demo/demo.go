package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/event"
)

const tick = 100 * time.Millisecond

// Config says what to show.
type Config struct {
	Agents   int
	For      time.Duration // 0: until ctx ends, or an outage is over
	Outage   time.Duration // the whole fleet loses its network for this long, instead of single deaths; 0: it does not
	Server   string        // URL of the NATS server to publish to; "": one of the demo's own
	StateDir string        // the node's own data, to be left there; made, so it must not exist. "": in a temporary directory
	Attach   bool          // agents connect to a stock manager, and the node is attached to that
	Sign     bool          // and verify what is heard
	Encrypt  bool          // and decrypt it; goes with Sign
	Version  string
	Out      io.Writer // what happens, in plain words
}

// play is a demo under way.
type play struct {
	*stage
	plot
	out    io.Writer
	start  time.Time
	report Report
	active map[string]bool
	lost   map[string][]loss // by agent
	weather
	arrivals *arrivals
	late     time.Duration // how long the message that is being heard had waited
	opened   bool          // all agents have been active
}

// plot is what is done to the agents, and the judgement of what is told of it.
type plot interface {
	act(now time.Time)                                // every tick
	changed(c *event.StatusChange, now time.Time)     // after play has taken note of it
	fleet(m *event.FleetOutageMessage, now time.Time) // the same
	over(now time.Time) bool                          // there is no more to show
	judge(end time.Time)
}

// Run plays a demo. The error says what could not be started or went wrong
// besides Pulse's own judgement, which is in the report.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	s, err := open(context.WithoutCancel(ctx), cfg)
	if err != nil {
		return nil, err
	}
	p := newPlay(s, cfg.Out, time.Now())
	p.plot = newPlot(p, cfg)
	playing := ctx
	if cfg.For > 0 {
		var cancel context.CancelFunc
		playing, cancel = context.WithTimeout(ctx, cfg.For)
		defer cancel()
	}
	p.announce()
	err = p.run(playing)
	if err == nil && s.wayOut != nil {
		err = p.settle(ctx)
	}
	end := time.Now()
	p.judgeAll(end)
	if s.host != nil {
		s.end()
		p.report.Manager = s.host.account(p.lost, end)
	}
	if closing := s.close(); err == nil {
		err = closing
	}
	return &p.report, err
}

func newPlay(s *stage, out io.Writer, start time.Time) *play {
	return &play{stage: s, out: out, start: start, active: make(map[string]bool), lost: make(map[string][]loss), arrivals: newArrivals(),
		report: Report{Agents: len(s.ids), Detections: []Detection{}, False: []Detection{}, Missed: []string{}}}
}

func newPlot(p *play, cfg Config) plot {
	if cfg.Outage > 0 {
		return newBlackout(p, cfg.Outage, cfg.For > 0)
	}
	d := newDeaths(p)
	if cfg.For > 0 {
		d.curtain = p.start.Add(cfg.For - slowest)
	}
	return d
}

// announce says what there is to see.
func (p *play) announce() {
	fmt.Fprintf(p.out, "Pulse watches %d simulated agents. Its messages are at %s, subjects %s.\n"+
		"Each agent gets a keep-alive every %v; %d unanswered ones, or %v without any sign of life, and it is gone.\n"+
		"One that is late beyond its habit gets a keep-alive at once, and %v to answer it.\n",
		len(p.ids), p.server, p.prefix.All(), interval, maxMissed, timeout, suspectTimeout)
	p.announceKeys()
	fmt.Fprintf(p.out, "Its dashboard is at http://%v\n", p.node.ConsoleAddr())
	if p.host != nil {
		fmt.Fprintf(p.out, "The agents are a stock Wazuh manager's, a simulated one in %s. Pulse reaches them through its sockets,\n"+
			"and tells it of those that are lost.\n", p.host.Home())
	}
	if p.wayOut != nil {
		fmt.Fprintln(p.out, "Stop that server for a while, and start it again: nothing will be lost.")
	}
	fmt.Fprintln(p.out)
}

// run plays until ctx ends or the plot does.
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
			if err := p.take(m, time.Now()); err != nil {
				return err
			}
		case now := <-clock.C:
			if p.wayOut != nil {
				p.look(p, now)
			}
			if p.act(now); p.over(now) {
				return nil
			}
		}
	}
}

// settle hears what is still on its way when the play is over, if the server is there.
func (p *play) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	clock := time.NewTicker(tick)
	defer clock.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-p.failed:
			return err
		case m := <-p.heard:
			if err := p.take(m, time.Now()); err != nil {
				return err
			}
		case now := <-clock.C:
			if p.look(p, now); p.weather.looked.Equal(now) && !p.dark() && p.way.waiting == 0 && len(p.heard) == 0 {
				return nil
			}
		}
	}
}

// message is any message of Pulse's.
type message struct {
	Event  *event.KeepAlive    `json:"event"`
	Change *event.StatusChange `json:"status_change"`
	event.FleetOutageMessage
}

// take hears a message, if it is good.
func (p *play) take(m *nats.Msg, now time.Time) error {
	payload, good := p.unseal(m)
	if !good {
		return nil
	}
	return p.hear(m.Subject, payload, now)
}

// hear takes a message as an XDR platform would: once, by its number.
func (p *play) hear(subject string, data []byte, now time.Time) error {
	var m message
	if err := json.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("message on %s: %w", subject, err)
	}
	if !p.arrivals.note(m.Security.Sequence) {
		return nil
	}
	if p.wayOut != nil { // it may have waited: what counts is when Pulse knew
		knew := time.UnixMilli(m.Security.IssuedAt + 1)
		p.late, now = now.Sub(knew), knew
		defer func() { p.late = 0 }()
	}
	if strings.HasSuffix(subject, ".alerts.node_condition") { // about Pulse, not the fleet
		return nil
	}
	if strings.Contains(subject, ".alerts.") {
		p.alert(&m, now)
		return nil
	}
	switch {
	case m.Event != nil && m.Event.EventType == event.KeepAliveSent:
		p.report.Sent++
	case m.Event != nil && m.Event.EventType == event.KeepAliveAcknowledged:
		p.report.Acknowledged++
	case m.Change != nil:
		p.report.Changes++
		p.active[m.Change.AgentID] = m.Change.CurrentStatus == event.Active
		p.changed(m.Change, now)
		p.raise(now)
	}
	return nil
}

func (p *play) alert(m *message, now time.Time) {
	p.report.Alerts++
	switch {
	case m.Outage != nil:
		p.report.Outages++
	case m.Recovered != nil:
		p.report.Recoveries++
	default:
		p.report.AgentAlerts++
		return
	}
	p.fleet(&m.FleetOutageMessage, now)
}

// raise opens the play when all agents are active for the first time.
func (p *play) raise(now time.Time) {
	if !p.opened && p.allActive() {
		p.opened = true
		p.tell(now, fmt.Sprintf("all %d agents are active", len(p.ids)))
	}
}

func (p *play) allActive() bool { return p.away() == 0 }

// away is how many agents are not active.
func (p *play) away() (n int) {
	for _, id := range p.ids {
		if !p.active[id] {
			n++
		}
	}
	return n
}

// judgeAll finds the agents that nobody saw alive, though there was time, and
// what the plot has to say.
func (p *play) judgeAll(end time.Time) {
	r, a := &p.report, p.arrivals
	r.Messages, r.Lost, r.Repeated = a.highest, a.missing(), a.repeated
	if p.wayOut != nil {
		r.Waiting, r.ServerOutages, r.LongestOutageMS = p.way.waiting, p.outages, milliseconds(p.longest)
	}
	p.judge(end)
	if !p.opened && end.Sub(p.start) >= slowest {
		p.report.NeverActive = p.away()
	}
}

func (p *play) tell(now time.Time, what string) {
	if p.late > time.Second {
		what += fmt.Sprintf(" (heard %v later)", short(p.late))
	}
	fmt.Fprintf(p.out, "%6.1fs  %s\n", now.Sub(p.start).Seconds(), what)
}

// say tells something of one agent.
func (p *play) say(now time.Time, id, what string) {
	p.tell(now, fmt.Sprintf("%-11s %s", p.names[id], what))
}

// sayFleet tells an outage, or its end.
func (p *play) sayFleet(m *event.FleetOutageMessage, now time.Time) {
	if o := m.Outage; o != nil {
		where := ""
		for _, n := range o.Networks {
			where += fmt.Sprintf(", %d in %s", n.Agents, n.Network)
		}
		p.tell(now, fmt.Sprintf("→ fleet_outage, alert level %d: %d of %d agents lost so far (%d fell silent, %d closed their connections)%s",
			o.AlertLevel, o.AgentsLost, o.AgentsWatched, o.FellSilent, o.ConnectionsClosed, where))
		return
	}
	o := m.Recovered
	p.tell(now, fmt.Sprintf("→ fleet_recovered, alert level %d: %d of the %d lost agents are back", o.AlertLevel, o.AgentsBack, o.AgentsLost))
}
