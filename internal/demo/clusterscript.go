package demo

import (
	"fmt"
	"time"

	"github.com/wazuh-pulse/pulse/internal/agentsim"
)

// act is something that is done, once.
type act struct {
	at   time.Duration // after all agents were active
	when func() bool   // what has to hold then; nil for nothing
	do   func(now time.Time) error

	done   bool
	doneAt time.Time
}

const (
	cutOffTime = 11 * time.Second // of the node that is cut off from NATS: it is not lost
	// settleTime is how long a node that was cut off may take to publish that agents have moved
	// that it has published as lost.
	settleTime = 10 * time.Second
	goneWith   = 3 // agents whose hosts die with a node
)

// writeScript returns what is done to agents and nodes.
func (p *clusterRun) writeScript() (acts []*act) {
	add := func(at time.Duration, when func() bool, do func(time.Time) error) *act {
		a := &act{at: at, when: when, do: do}
		acts = append(acts, a)
		return a
	}
	first, second, third := p.nodes[0], p.nodes[1], p.nodes[2]
	p.addDeath(add, 1500*time.Millisecond, func() string { return p.pickAgent(first) })
	for i := range 3 {
		add(2*time.Second+time.Duration(i)*time.Second, nil, func(now time.Time) error {
			p.moveAgents(now, third, second, 1)
			return nil
		})
	}
	add(5*time.Second, nil, func(now time.Time) error { p.moveAgents(now, first, second, -1); return nil })
	add(8*time.Second, p.allReported, func(now time.Time) error { p.moveAgents(now, second, nil, -1); return nil })
	killed := add(11*time.Second, p.allReported, func(now time.Time) error { return p.killNode(now, third) })
	cut := add(13*time.Second, func() bool { return killed.done && p.allReported() }, func(now time.Time) error {
		p.printEvent(now, fmt.Sprintf("%s is cut off from the NATS server, for %v: it goes on watching its agents", second.name, cutOffTime))
		p.wasCut = second.name
		return second.setCut(true)
	})
	p.addDeath(add, 15*time.Second, func() string { return p.pickAgent(second) })
	add(16*time.Second, func() bool { return cut.done }, func(now time.Time) error { p.moveAgents(now, second, first, 1); return nil })
	add(20*time.Second, func() bool { return cut.done && time.Since(cut.doneAt) >= cutOffTime }, func(now time.Time) error {
		p.printEvent(now, second.name+" reaches the NATS server again")
		p.reachedAt = now
		return second.setCut(false)
	})
	back := add(40*time.Second, func() bool {
		return killed.done && p.report.AgentsLostWithNode >= p.goneWith && p.isLossManaged(p.listEndedWith()...)
	}, func(now time.Time) error {
		return p.restartNode(now, third)
	})
	add(40*time.Second, func() bool { return back.done && p.report.NodesBack > 0 && p.allReported() && p.isMasterCurrent() }, func(time.Time) error { return nil })
	return acts
}

const (
	// manageTime is how long the master's node may take to have a loss that is published in
	// its manager's database, and its alert raised: agents stay away until then.
	manageTime = 10 * time.Second
	// syncTime is how long the managers may take to have in the master's database which agents
	// are back.
	syncTime = 45 * time.Second
)

// isLossManaged reports whether the manager has raised its alert for each loss of agents so
// far, or has had the time for it. A loss that ends before is not due to be raised.
func (p *clusterRun) isLossManaged(ids ...string) bool {
	if p.managers == nil {
		return true
	}
	events := p.managers.Events()
	for _, id := range ids {
		a := p.agents[id]
		if raised, _ := countLossEvents(events, id); raised < a.losses && time.Since(a.lossReportedAt) < manageTime {
			return false
		}
	}
	return true
}

// isMasterCurrent reports whether the master's database is true, or has had the time to be.
func (p *clusterRun) isMasterCurrent() bool {
	return p.managers == nil || time.Since(p.restartedAt) > syncTime || len(p.listWrongRows(time.Now())) == 0
}

// addDeath adds the death of an agent, and its return when it has been told and was an alert.
func (p *clusterRun) addDeath(add func(time.Duration, func() bool, func(time.Time) error) *act, at time.Duration, which func() string) {
	var id string
	died := add(at, func() bool { id = which(); return id != "" }, func(now time.Time) error {
		p.printAgent(now, id, "is killed, at "+p.agents[id].node)
		p.recordDeath(id, now)
		return p.fleet.Fail(id, agentsim.Kill)
	})
	add(at, func() bool {
		return died.done && p.agents[id].lossReported && p.agents[id].alertReported && p.isLossManaged(id)
	}, func(now time.Time) error {
		p.printAgent(now, id, "is started again")
		p.recordReturn(id)
		return p.fleet.Revive(id)
	})
}

// moveAgents has agents of a node connect to another one, or if that is nil to all others in
// turn: so many, at once; all if n is negative.
func (p *clusterRun) moveAgents(now time.Time, from, to *clusterNode, n int) {
	ids := p.listAgents(from)
	if n >= 0 {
		ids = ids[:min(n, len(ids))]
	}
	where := "the others"
	if to != nil {
		where = to.name
	}
	if n == 1 && len(ids) == 1 {
		p.printAgent(now, ids[0], fmt.Sprintf("is given to %s by the load balancer", where))
	} else {
		p.printEvent(now, fmt.Sprintf("all %d agents of %s are given to %s by the load balancer, at once", len(ids), from.name, where))
	}
	for i, id := range ids {
		p.moveAgent(id, p.pickTarget(from, to, i), now)
	}
	for _, id := range ids {
		p.balancer.CutAgent(id)
	}
}

// pickTarget returns the node for the i-th of agents that leave one.
func (p *clusterRun) pickTarget(from, to *clusterNode, i int) *clusterNode {
	if to != nil {
		return to
	}
	var others []*clusterNode
	for _, n := range p.nodes {
		if n != from && !n.dead {
			others = append(others, n)
		}
	}
	return others[i%len(others)]
}

func (p *clusterRun) moveAgent(id string, to *clusterNode, now time.Time) {
	p.balancer.SetRoute(id, to.name)
	p.agents[id].leftCut = p.agents[id].node == p.wasCut
	p.recordMove(id, to.name, now)
}

// killNode ends a node without a word, and the hosts of some of its agents with it. The
// balancer gives its other agents to the nodes that are left.
func (p *clusterRun) killNode(now time.Time, n *clusterNode) error {
	ids := p.listAgents(n)
	p.goneWith = min(goneWith, len(ids))
	p.report.AgentsEnded = p.goneWith
	p.printEvent(now, fmt.Sprintf("%s is killed, and the hosts of %d of its %d agents with it", n.name, p.goneWith, len(ids)))
	p.killedAt = now
	p.killed = n.name
	for _, id := range ids[:p.goneWith] {
		p.recordEndWith(id, n.name)
		if err := p.fleet.Fail(id, agentsim.PowerOff); err != nil {
			return err
		}
	}
	for i, id := range ids[p.goneWith:] {
		p.moveAgent(id, p.pickTarget(n, nil, i), now)
	}
	p.balancer.SetDown(n.name, true)
	return p.killProcess(n)
}

// restartNode starts a node again, and the agents that were lost with it.
func (p *clusterRun) restartNode(now time.Time, n *clusterNode) error {
	p.printEvent(now, fmt.Sprintf("%s is started again, and so are the %d agents", n.name, p.goneWith))
	if err := p.startAgain(n, p.cfg.Version); err != nil {
		return err
	}
	p.restartedAt = now
	for _, id := range p.ids {
		if p.agents[id].endedWith == "" {
			continue
		}
		p.balancer.SetRoute(id, n.name)
		p.recordReturn(id)
		if err := p.fleet.Revive(id); err != nil {
			return err
		}
	}
	return nil
}
