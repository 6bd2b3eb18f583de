package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// ListenConfig configures [MeasureListen].
type ListenConfig struct {
	Agents   int
	For      time.Duration // how long to measure everyday load
	Network  string        // tcp or udp
	Profile  string        // a file for the profile of the node's processor time, everyday; "" for none
	Progress io.Writer
}

const (
	// listenRamp is the time between two keep-alives of an agent, over which they are spread.
	// More than rampMost agents start over a multiple of it, and never at once: a node takes
	// as many in that time.
	listenRamp = 10 * time.Second
	rampMost   = 20_000
	// settleTime is how long after all agents have started that counts as their start: all
	// that follows from it is stored and in the bucket by then.
	settleTime = 4 * time.Second
	// fleetMost is how many agents run in one process.
	fleetMost = 15_000
)

// MeasureListen measures a node that is the agents' manager: first the bare manager of
// [RunBareManager], then the node, each with the same agents.
func MeasureListen(ctx context.Context, cfg ListenConfig) (*ListenReport, error) {
	r := &ListenReport{Agents: cfg.Agents, Network: cfg.Network}
	bare, err := cfg.measureManager(ctx, "the bare manager", func(string) []string {
		return append(BareManagerArgs, strconv.Itoa(cfg.Agents))
	})
	if err != nil {
		return nil, fmt.Errorf("the bare manager: %w", err)
	}
	r.fillBare(bare)
	node, err := cfg.measureManager(ctx, "a node", func(dir string) []string {
		return append(ListenNodeArgs, dir, strconv.Itoa(cfg.Agents))
	})
	if err != nil {
		return nil, err
	}
	r.fillNode(node)
	roundFigures(r)
	return r, nil
}

// managerFigures are the figures of one manager.
type managerFigures struct {
	startCPU, keepAliveCPU, agentCPU float64 // µs for each agent, and each keep-alive
	resident, peak                   int64
	ack                              fleetUse
	settled                          float64 // s; startTimeout if not all were acknowledged in that time
	connected                        int     // acknowledged, and active at the manager, everyday
	ended                            error   // of the processes
}

// measureManager measures agents that start at once, and then, in other processes, the
// everyday load of agents whose keep-alives are spread.
func (c *ListenConfig) measureManager(ctx context.Context, name string, args func(dir string) []string) (f managerFigures, err error) {
	if c.Agents <= rampMost {
		c.printProgress("%s: %d agents start at once", name, c.Agents)
		if err = c.runManager(ctx, args, 0, &f, (*listenRun).measureStart); err != nil {
			return f, errors.Join(err, f.ended)
		}
	}
	c.printProgress("%s: %d agents start over %v; everyday, for %v", name, c.Agents, rampOf(c.Agents), c.For)
	if err = c.runManager(ctx, args, rampOf(c.Agents), &f, (*listenRun).measureEveryday); err != nil {
		return f, errors.Join(err, f.ended)
	}
	return f, nil
}

// rampOf returns the time over which so many agents start, so that their keep-alives are spread.
func rampOf(agents int) time.Duration {
	return listenRamp * time.Duration((agents+rampMost-1)/rampMost)
}

func (c *ListenConfig) printProgress(format string, args ...any) {
	fmt.Fprintf(c.Progress, format+"\n", args...)
}

// listenRun is a manager and its agents, in processes of their own.
type listenRun struct {
	*ListenConfig
	manager *lineProcess
	fleets  []*lineProcess
	ramp    time.Duration
	empty   managerUse // before there were agents
}

// runManager runs a manager and its agents while measure runs, which fills in figures. How
// they end is one of the figures too.
func (c *ListenConfig) runManager(ctx context.Context, args func(dir string) []string, ramp time.Duration, f *managerFigures,
	measure func(*listenRun, context.Context, *managerFigures) error) (err error) {
	m := &listenRun{ListenConfig: c, ramp: ramp}
	dir, err := os.MkdirTemp("", "pb")
	if err != nil {
		return err
	}
	defer func() {
		f.ended = errors.Join(f.ended, m.close())
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	if m.manager, err = startLineProcess(args(filepath.Clean(dir))); err != nil {
		return err
	}
	if !sleepContext(ctx, time.Second) {
		return ctx.Err()
	}
	if m.empty, err = m.readManager(); err != nil {
		return err
	}
	for first := 1; first <= c.Agents; first += fleetMost {
		n := min(fleetMost, c.Agents-first+1)
		p, err := startLineProcess(append(ListenFleetArgs, listenFleetArgs(m.manager.firstLine, c.Network, first, n, ramp)...))
		if err != nil {
			return err
		}
		m.fleets = append(m.fleets, p)
	}
	if err := m.waitForAgents(ctx); err != nil {
		return err
	}
	return measure(m, ctx, f)
}

// close ends the agents, and then the manager.
func (m *listenRun) close() (err error) {
	for _, p := range append(m.fleets, m.manager) {
		if p != nil {
			err = errors.Join(err, p.child.endAndWait())
		}
	}
	return err
}

func (m *listenRun) readManager() (u managerUse, err error) {
	return u, m.manager.readAnswer("look", &u)
}

// readFleets adds up what the processes of agents have done.
func (m *listenRun) readFleets() (fleetUse, error) { return m.askFleets("look") }

// askFleets sends a line to the processes of agents and adds up what they have done.
func (m *listenRun) askFleets(order string) (sum fleetUse, err error) {
	for _, p := range m.fleets {
		var u fleetUse
		if err := p.readAnswer(order, &u); err != nil {
			return sum, err
		}
		sum.addFleet(&u)
	}
	return sum, nil
}

func (u *fleetUse) addFleet(more *fleetUse) {
	u.Processor += more.Processor
	u.Agents += more.Agents
	u.Connected += more.Connected
	u.Acks += more.Acks
	u.KeepAlives += more.KeepAlives
	u.Refused += more.Refused
	u.Ack.P50, u.Ack.P99, u.Ack.Max = max(u.Ack.P50, more.Ack.P50), max(u.Ack.P99, more.Ack.P99), max(u.Ack.Max, more.Ack.Max)
	u.Settled = max(u.Settled, more.Settled)
}

// startTimeout is how long all agents may take to start.
const startTimeout = 2 * time.Minute

// waitForAgents waits until all agents are acknowledged, and active at the manager: at a node
// that is with their first keep-alive. Over UDP, where messages are lost, that may never be:
// half of them are enough after startTimeout, and the report has how many there are.
func (m *listenRun) waitForAgents(ctx context.Context) error {
	for deadline := time.Now().Add(startTimeout); ; {
		agents, err := m.readFleets()
		if err != nil {
			return err
		}
		use, err := m.readManager()
		if err != nil {
			return err
		}
		if agents.Connected == m.Agents && use.Active == m.Agents {
			return nil
		}
		if time.Now().After(deadline) {
			if min(agents.Connected, use.Active) < m.Agents/2 {
				return fmt.Errorf("%d of %d agents connected and %d active after %v", agents.Connected, m.Agents, use.Active, startTimeout)
			}
			m.printProgress("%d of %d agents connected and %d active after %v: it goes on with them", agents.Connected, m.Agents, use.Active, startTimeout)
			return nil
		}
		if !sleepContext(ctx, 200*time.Millisecond) {
			return ctx.Err()
		}
	}
}

func (m *listenRun) measureStart(ctx context.Context, f *managerFigures) error {
	if !sleepContext(ctx, settleTime) {
		return ctx.Err()
	}
	use, err := m.readManager()
	if err != nil {
		return err
	}
	agents, err := m.readFleets()
	if err != nil {
		return err
	}
	f.startCPU = float64((use.Processor - m.empty.Processor).Microseconds()) / float64(m.Agents)
	f.fillStart(use, agents, m.Agents)
	return nil
}

// fillStart fills in how long the start of all agents took, and what memory.
func (f *managerFigures) fillStart(use managerUse, agents fleetUse, all int) {
	f.peak, f.settled = use.Peak, agents.Settled.Seconds()
	if agents.Connected < all {
		f.settled = startTimeout.Seconds()
	}
}

func (m *listenRun) measureEveryday(ctx context.Context, f *managerFigures) error {
	if !sleepContext(ctx, settleTime) {
		return ctx.Err()
	}
	if m.Profile != "" {
		if _, err := m.manager.sendLine("profile " + m.Profile); err != nil {
			return err
		}
	}
	from, err := m.readManager()
	if err != nil {
		return err
	}
	agentsFrom, err := m.askFleets("reset")
	if err != nil {
		return err
	}
	if m.Agents > rampMost {
		f.fillStart(from, agentsFrom, m.Agents)
	}
	if !sleepContext(ctx, m.For) {
		return ctx.Err()
	}
	to, err := m.readManager()
	if err != nil {
		return err
	}
	agentsTo, err := m.readFleets()
	if err != nil {
		return err
	}
	perKeepAlive := func(d time.Duration) float64 {
		return float64(d.Microseconds()) / float64(max(to.KeepAlives-from.KeepAlives, 1))
	}
	f.keepAliveCPU, f.agentCPU = perKeepAlive(to.Processor-from.Processor), perKeepAlive(agentsTo.Processor-agentsFrom.Processor)
	f.resident, f.ack, f.connected = to.Resident, agentsTo, min(agentsTo.Connected, to.Active)
	return nil
}
