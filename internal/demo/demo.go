package demo

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/clientkeys"
)

const tick = 100 * time.Millisecond

// Config configures a demo.
type Config struct {
	Agents   int
	For      time.Duration // 0: until ctx ends, or the outage is over
	Outage   time.Duration // all agents lose their network for this long, instead of single failures; 0: no outage
	Server   string        // URL of the NATS server to publish to; "": one of the demo's own
	StateDir string        // where the node's data is left; must not exist. "": a temporary directory
	// StartManager starts a stock manager in an existing directory, to which agents
	// connect and the node is attached. Nil: agents connect to the node.
	StartManager func(home string, keys []clientkeys.Key) (Manager, error)
	Wazuh5       bool // that manager is of Wazuh 5, and so are its agents
	Sign         bool // sign messages, and verify them
	Encrypt      bool // encrypt messages, and decrypt them; with Sign
	Version      string
	Out          io.Writer // receives the lines about what happens
}

// demoRun is one run of the demo.
type demoRun struct {
	*environment
	scenario
	out    io.Writer
	start  time.Time
	report Report
	active map[string]bool
	lost   map[string][]loss // by agent
	serverWatch
	sequences *sequenceTracker
	delay     time.Duration // how long the message being handled had waited
	started   bool          // all agents have been active
}

// scenario is what is done to the agents, and the evaluation of the messages
// about it.
type scenario interface {
	advance(now time.Time)                                   // every tick
	handleChange(c *event.StatusChange, now time.Time)       // after demoRun has handled it
	handleOutage(m *event.FleetOutageMessage, now time.Time) // the same
	handleAlert(c *event.StatusChange, now time.Time)        // of a single agent
	isOver(now time.Time) bool                               // nothing more will happen
	evaluate(end time.Time)
}

// Run runs a demo. The error is about what could not be started or failed
// besides Pulse's own decisions, which the report evaluates.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	if err := checkOpenFiles(cfg.Agents, agentFiles); err != nil {
		return nil, err
	}
	s, err := openEnvironment(context.WithoutCancel(ctx), cfg)
	if err != nil {
		return nil, err
	}
	p := newRun(s, cfg.Out, time.Now())
	p.scenario = newScenario(p, cfg)
	playing := ctx
	if cfg.For > 0 {
		var cancel context.CancelFunc
		playing, cancel = context.WithTimeout(ctx, cfg.For)
		defer cancel()
	}
	p.printIntroduction()
	err = p.processMessages(playing)
	if err == nil && s.readServerState != nil {
		err = p.drainMessages(ctx)
	}
	end := time.Now()
	p.evaluateRun(end)
	if s.host != nil {
		s.stopAll()
		p.report.Manager = s.host.buildReport(p.lost, end)
	}
	if closing := s.close(); err == nil {
		err = closing
	}
	return &p.report, err
}

func newRun(s *environment, out io.Writer, start time.Time) *demoRun {
	return &demoRun{environment: s, out: out, start: start, active: make(map[string]bool), lost: make(map[string][]loss), sequences: newSequenceTracker(),
		report: Report{Agents: len(s.ids), Detections: []Detection{}, False: []Detection{}, Missed: []string{}, QuietAlerts: []string{}, MissedAlerts: []string{}}}
}

func newScenario(p *demoRun, cfg Config) scenario {
	if cfg.Outage > 0 {
		return newOutageScenario(p, cfg.Outage, cfg.For > 0)
	}
	d := newFailureScenario(p)
	if cfg.For > 0 {
		d.lastFailureAt = p.start.Add(cfg.For - p.pace().slowest)
	}
	return d
}

// printIntroduction prints what the demo shows.
func (p *demoRun) printIntroduction() {
	fmt.Fprintf(p.out, "Pulse watches %d simulated agents. Its messages are at %s, subjects %s.\n", len(p.ids), p.server, p.prefix.All())
	if p.host != nil && p.host.of5 {
		p.printIntroductionOf5()
		return
	}
	fmt.Fprintf(p.out, "Each agent gets a keep-alive every %v; %d unanswered ones, or %v without any sign of life, and it is gone.\n"+
		"One that is late beyond its habit gets a keep-alive at once, and %v to answer it. One that is away for %v is an alert.\n"+
		"The agents' hosts are simulated, too: whether one still answers is known without sending it anything.\n",
		interval, maxMissed, timeout, suspectTimeout, escalateAfter)
	p.printPlaces()
	if p.host != nil {
		fmt.Fprintf(p.out, "The agents are a stock Wazuh manager's, a simulated one in %s. Pulse reaches them through its sockets,\n"+
			"and tells it of those that are lost.\n", p.host.Home())
	}
	if p.readServerState != nil {
		fmt.Fprintln(p.out, "Stop that server for a while, and start it again: nothing will be lost.")
	}
	fmt.Fprintln(p.out)
}

// printIntroductionOf5 prints what a demo beside a manager of Wazuh 5 shows, and where it is not
// like a real one.
func (p *demoRun) printIntroductionOf5() {
	fmt.Fprintf(p.out, "They are agents of Wazuh 5, of a stock manager of Wazuh 5, a simulated one in %s.\n"+
		"Nobody can ask such an agent anything: it reports every 10 s (here every %v), and its manager writes one of its reports in\n"+
		"%v to its database (here in %v, by the manager's own option remoted.control_keepalive_throttle).\n"+
		"That is all that Pulse sees. An agent is gone after that time and %v more: here after %v, beside a manager as\n"+
		"shipped after %v, and with that option at 10 after %v. The demo's manager claims to run for an hour:\n"+
		"right after a restart Pulse would give up nobody for 80 s. Its agents speak HTTP without TLS.\n",
		p.host.Home(), notify, shippedThrottle5, Throttle5, lossAfter5, Throttle5+lossAfter5, shippedThrottle5+lossAfter5, 10*time.Second+lossAfter5)
	p.printPlaces()
	fmt.Fprintln(p.out)
}

// printPlaces prints where keys and the dashboard are.
func (p *demoRun) printPlaces() {
	p.printKeys()
	fmt.Fprintf(p.out, "Its dashboard is at http://%v\n", p.node.ConsoleAddr())
}

// processMessages runs the scenario until ctx ends or the scenario is over.
func (p *demoRun) processMessages(ctx context.Context) error {
	clock := time.NewTicker(tick)
	defer clock.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-p.failed:
			return err
		case m := <-p.messages:
			if err := p.receiveMessage(m, time.Now()); err != nil {
				return err
			}
		case now := <-clock.C:
			if p.readServerState != nil {
				p.checkServer(p, now)
			}
			if p.advance(now); p.isOver(now) {
				return nil
			}
		}
	}
}

// drainMessages handles the messages still on their way when the scenario is
// over, if the server is connected.
func (p *demoRun) drainMessages(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	clock := time.NewTicker(tick)
	defer clock.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-p.failed:
			return err
		case m := <-p.messages:
			if err := p.receiveMessage(m, time.Now()); err != nil {
				return err
			}
		case now := <-clock.C:
			if p.checkServer(p, now); p.serverWatch.checkedAt.Equal(now) && !p.messagesDelayed() && p.state.waiting == 0 && len(p.messages) == 0 {
				return nil
			}
		}
	}
}

// receiveMessage opens a message and handles it if it is valid.
func (p *demoRun) receiveMessage(m *nats.Msg, now time.Time) error {
	payload, good := p.openMessage(m)
	if !good {
		return nil
	}
	return p.handleMessage(m.Subject, payload, now)
}

// handleMessage handles a message as an XDR platform would: once, by its
// number.
func (p *demoRun) handleMessage(subject string, data []byte, now time.Time) error {
	m, err := event.Parse(data)
	if err != nil {
		return fmt.Errorf("message on %s: %w", subject, err)
	}
	if !p.sequences.addSequence(m.Identity().Sequence) {
		return nil
	}
	if p.readServerState != nil { // it may have waited: the time of Pulse's decision counts
		knew := m.Identity().IssuedTime().Add(time.Millisecond)
		p.delay, now = now.Sub(knew), knew
		defer func() { p.delay = 0 }()
	}
	if strings.HasSuffix(subject, ".alerts.node_condition") { // about Pulse, not the fleet
		return nil
	}
	if strings.Contains(subject, ".alerts.") {
		p.handleAlertMessage(m, now)
		return nil
	}
	switch m := m.(type) {
	case *event.KeepAliveMessage:
		switch m.Event.EventType {
		case event.KeepAliveSent:
			p.report.Sent++
		case event.KeepAliveAcknowledged:
			p.report.Acknowledged++
		}
	case *event.StatusChangeMessage:
		c := &m.StatusChange
		p.report.Changes++
		p.active[c.AgentID] = c.CurrentStatus == event.Active
		p.handleChange(c, now)
		p.checkAllActive(now)
	}
	return nil
}

func (p *demoRun) handleAlertMessage(m event.Message, now time.Time) {
	p.report.Alerts++
	outage, ok := m.(*event.FleetOutageMessage)
	switch {
	case !ok:
		p.report.AgentAlerts++
		if loss, ok := m.(*event.StatusChangeMessage); ok {
			p.handleAlert(&loss.StatusChange, now)
		}
		return
	case outage.Outage != nil:
		p.report.Outages++
	default:
		p.report.Recoveries++
	}
	p.handleOutage(outage, now)
}

// checkAllActive starts the scenario when all agents are active for the first
// time.
func (p *demoRun) checkAllActive(now time.Time) {
	if !p.started && p.allActive() {
		p.started = true
		p.printEvent(now, fmt.Sprintf("all %d agents are active", len(p.ids)))
	}
}

func (p *demoRun) allActive() bool { return p.countInactive() == 0 }

// countInactive returns how many agents are not active.
func (p *demoRun) countInactive() (n int) {
	for _, id := range p.ids {
		if !p.active[id] {
			n++
		}
	}
	return n
}

// evaluateRun finds the agents that never became active though there was time,
// and evaluates the scenario.
func (p *demoRun) evaluateRun(end time.Time) {
	r, a := &p.report, p.sequences
	r.Messages, r.Lost, r.Repeated = a.highest, a.countMissing(), a.repeated
	if p.readServerState != nil {
		r.Waiting, r.ServerOutages, r.LongestOutageMS = p.state.waiting, p.outages, toMilliseconds(p.longest)
	}
	p.evaluate(end)
	if !p.started && end.Sub(p.start) >= p.pace().slowest {
		p.report.NeverActive = p.countInactive()
	}
}

func (p *demoRun) printEvent(now time.Time, what string) {
	if p.delay > time.Second {
		what += fmt.Sprintf(" (heard %v later)", roundDuration(p.delay))
	}
	fmt.Fprintf(p.out, "%6.1fs  %s\n", now.Sub(p.start).Seconds(), what)
}

// printAgent prints a line about one agent.
func (p *demoRun) printAgent(now time.Time, id, what string) {
	p.printEvent(now, fmt.Sprintf("%-11s %s", p.names[id], what))
}

// printOutage prints an outage, or its end.
func (p *demoRun) printOutage(m *event.FleetOutageMessage, now time.Time) {
	if o := m.Outage; o != nil {
		where := ""
		for _, n := range o.Networks {
			where += fmt.Sprintf(", %d in %s", n.Agents, n.Network)
		}
		if o.HostsProbed > 0 {
			where += fmt.Sprintf("; of %d hosts that were asked %d answer", o.HostsProbed, o.HostsAnswered)
		}
		p.printEvent(now, fmt.Sprintf("→ fleet_outage, alert level %d: %d of %d agents lost so far (%d fell silent, %d closed their connections)%s",
			o.AlertLevel, o.AgentsLost, o.AgentsWatched, o.FellSilent, o.ConnectionsClosed, where))
		return
	}
	o := m.Recovered
	p.printEvent(now, fmt.Sprintf("→ fleet_recovered, alert level %d: %d of the %d lost agents are back", o.AlertLevel, o.AgentsBack, o.AgentsLost))
}
