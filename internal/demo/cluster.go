package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/seal"
)

// Timings of a demo of a cluster.
const (
	// ClusterTime is how long it takes: a node is lost after 20 to 24 s of silence, and its
	// agents have a timeout then.
	ClusterTime = 60 * time.Second
	// clusterGrace is what an agent has, at least, to appear on another node.
	clusterGrace = 5 * time.Second
	// MinClusterAgents is the least number of agents of a cluster.
	MinClusterAgents = 15
)

// ClusterConfig configures a demo of a cluster.
type ClusterConfig struct {
	Agents int
	For    time.Duration // 0: until everything has been shown
	// StartManagers starts the stock managers of a cluster in an existing directory, the
	// master's first, to which agents connect and the nodes are attached. Nil: agents
	// connect to the nodes.
	StartManagers func(dir string, nodes []string, keys []clientkeys.Key) (Managers, error)
	Version       string
	Out           io.Writer // receives the lines about what happens
}

// Managers are the stock managers of a cluster, by the names of their nodes.
type Managers interface {
	Home(node string) string
	AgentAddr(node string) netip.AddrPort // for agents to connect to
	StopNode(node string)                 // as the death of its host does
	StartNode(node string) error
	// Status returns what the master's database has of an agent.
	Status(agent string) (status string, err error)
	Events() []string // messages to the analysisd of all of them
	Close() error
}

// clusterRun is one run of a demo of a cluster.
type clusterRun struct {
	*clusterWorld
	*clusterTruth
	cfg    ClusterConfig
	opener *seal.Opener
	order  map[run]*sequenceTracker
	acts   []*act
	began  time.Time // all agents are active; zero before
	read   uint64    // messages
	// reachedAt is when the node that was cut off reached the NATS server again; zero before.
	reachedAt time.Time
	report    ClusterReport
}

// run is one start of a node.
type run struct {
	node  string
	epoch uint64
}

// RunCluster runs a demo of a cluster: agents behind a load balancer, three nodes, and a
// NATS server. The error is about what could not be started or failed besides Pulse's own
// decisions, which the report evaluates.
func RunCluster(ctx context.Context, cfg ClusterConfig) (*ClusterReport, error) {
	if err := checkOpenFiles(cfg.Agents, clusterAgentFiles); err != nil {
		return nil, err
	}
	w, err := openWorld(context.WithoutCancel(ctx), cfg)
	if err != nil {
		return nil, err
	}
	p := newClusterRun(w, cfg, time.Now())
	playing := ctx
	if cfg.For > 0 {
		var cancel context.CancelFunc
		playing, cancel = context.WithTimeout(ctx, cfg.For)
		defer cancel()
	}
	p.printIntroduction()
	err = p.playScript(playing)
	if err == nil {
		err = p.drainMessages(ctx)
	}
	if err == nil {
		err = p.evaluateRun(ctx, time.Now())
	}
	return &p.report, errors.Join(err, w.close())
}

func newClusterRun(w *clusterWorld, cfg ClusterConfig, now time.Time) *clusterRun {
	p := &clusterRun{clusterWorld: w, cfg: cfg, order: make(map[run]*sequenceTracker), opener: &seal.Opener{Verifier: w.verifier, Guard: seal.NewGuard(seal.GuardConfig{})}}
	p.clusterTruth = newClusterTruth(w.agentIDs, w.hostOf, cfg.Out, now, &p.report)
	p.report = ClusterReport{Nodes: len(w.nodes), Agents: len(w.agentIDs), Missed: []string{}, WrongStates: []string{}}
	p.acts = p.writeScript()
	return p
}

func (p *clusterRun) printIntroduction() {
	fmt.Fprintf(p.out, "Three nodes of Pulse are a cluster: %d simulated agents connect to them through a load balancer, and the nodes publish\n"+
		"to one NATS server, %s. There they also share which of them has an agent.\n", len(p.ids), p.server.ClientURL())
	for _, n := range p.nodes {
		fmt.Fprintf(p.out, "%s has its dashboard at http://%v\n", n.name, n.node.ConsoleAddr())
	}
	fmt.Fprintf(p.out, "An agent that has closed its connection has %v to appear on any node. A node is lost when it has been silent for 20 to 24 s;\n"+
		"its agents then have %v. What a node publishes has an arrow.\n\n", clusterGrace, timeout)
}

// playScript does what is to be done, and handles messages, until ctx ends or all is shown.
func (p *clusterRun) playScript(ctx context.Context) error {
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
			if over, err := p.advance(now); over || err != nil {
				return err
			}
		}
	}
}

// clusterDrain is how long the nodes may take to publish all that they have decided.
const clusterDrain = 30 * time.Second

// drainMessages handles the messages that are still on their way.
func (p *clusterRun) drainMessages(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, clusterDrain)
	defer cancel()
	clock := time.NewTicker(tick)
	defer clock.Stop()
	for idle := 0; idle < 5; {
		select {
		case <-ctx.Done():
			return nil
		case err := <-p.failed:
			return err
		case m := <-p.messages:
			idle = 0
			if err := p.receiveMessage(m, time.Now()); err != nil {
				return err
			}
		case now := <-clock.C:
			p.printGroups(now)
			if idle++; p.countWaiting() > 0 || p.isSettling(now) || idle == 5 && p.countUnread(ctx, p.read) > 0 {
				idle = 0
			}
		}
	}
	return nil
}

// isSettling reports whether what was published may still be taken back, which is no error.
func (p *clusterRun) isSettling(now time.Time) bool { return now.Sub(p.reachedAt) < settleTime }

// receiveMessage verifies a message, and handles it.
func (p *clusterRun) receiveMessage(m *nats.Msg, now time.Time) error {
	p.read++
	opened, err := p.opener.Open(seal.Message{Subject: m.Subject, Header: m.Header, Data: m.Data})
	if err != nil {
		if p.report.Refused++; p.report.Refused == 1 {
			p.report.Refusal = fmt.Sprintf("%s: %v", m.Subject, err)
		}
		return nil
	}
	p.report.Verified++
	s := opened.Security
	at := p.order[run{s.Node, s.Epoch}]
	if at == nil {
		at = newSequenceTracker()
		p.order[run{s.Node, s.Epoch}] = at
	}
	at.addSequence(s.Sequence)
	p.handleMessage(m.Subject, s.Node, opened.Message, now)
	return nil
}

// advance does what is due, and reports whether everything has been shown.
func (p *clusterRun) advance(now time.Time) (over bool, err error) {
	p.printGroups(now)
	if p.began.IsZero() {
		if !p.allActive() {
			return false, nil
		}
		p.began = now
		p.printEvent(now, fmt.Sprintf("all %d agents are active: %s", len(p.ids), p.describePlaces()))
	}
	over = true
	for _, a := range p.acts {
		if !a.done && now.Sub(p.began) >= a.at && (a.when == nil || a.when()) {
			a.done, a.doneAt = true, now
			if err := a.do(now); err != nil {
				return false, err
			}
		}
		over = over && a.done
	}
	return over, nil
}

// evaluateRun compares what is stored with the truth.
func (p *clusterRun) evaluateRun(ctx context.Context, end time.Time) error {
	p.printGroups(end.Add(time.Hour))
	r := &p.report
	for n, t := range p.order {
		r.Messages += t.highest
		r.Repeated += t.repeated
		if !p.findNode(n.node).dead {
			r.Lost += t.countMissing()
		}
	}
	p.findMissed(end)
	states, err := p.readStates(ctx)
	if err != nil {
		return err
	}
	for _, id := range p.ids {
		for _, wrong := range p.compareStates(id, states[id]) {
			r.WrongStates = append(r.WrongStates, id+": "+wrong)
		}
	}
	p.checkManagers(end)
	return nil
}

// checkManagers compares what the managers have with the truth. Where the run has ended
// before everything was shown, what happened last may be on its way.
func (p *clusterRun) checkManagers(end time.Time) {
	if p.managers == nil {
		return
	}
	settled, alerted := end, end
	if slices.ContainsFunc(p.acts, func(a *act) bool { return !a.done }) {
		settled, alerted = end.Add(-syncTime), end.Add(-manageTime)
	}
	p.report.WrongStates = append(p.report.WrongStates, p.listWrongRows(settled)...)
	events := p.managers.Events()
	for _, id := range p.ids {
		a := p.agents[id]
		raised, _ := countLossEvents(events, id)
		if raised > a.losses || raised < a.losses && a.lossReportedAt.Before(alerted) {
			p.report.WrongStates = append(p.report.WrongStates, fmt.Sprintf("%s: rule 504 was raised %d times for %d losses", id, raised, a.losses))
		}
	}
}

// listWrongRows returns what is wrong in the master's database with the rows of agents that
// have been as they are since a time or longer.
func (p *clusterRun) listWrongRows(since time.Time) (wrong []string) {
	for _, id := range p.ids {
		a := p.agents[id]
		if a.since.After(since) {
			continue
		}
		want := event.Active.String()
		if !a.alive {
			want = event.Disconnected.String()
		}
		if status, err := p.managers.Status(id); err != nil {
			wrong = append(wrong, fmt.Sprintf("%s: %v", id, err))
		} else if status != want {
			wrong = append(wrong, fmt.Sprintf("%s: %s in the master's database", id, status))
		}
	}
	return wrong
}
