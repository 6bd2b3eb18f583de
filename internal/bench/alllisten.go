package bench

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"time"
)

// What was measured before, and of what has no part in a run: 2 000 agents over TCP, a
// keep-alive each 10 s, beside stock Wazuh 4.14.7; and Pulse, with 10 000.
const (
	recordedRemoted = 615.0 // µs of wazuh-remoted for each keep-alive (560 to 670)
	recordedMemory  = 74.0  // MiB of the manager's processes with 10 000 agents
	recordedPulse   = 133.0 // µs of Pulse for each keep-alive, with 10 000 agents
)

// listenTakes returns how long [MeasureListen] takes, of two managers.
func (c *AllConfig) listenTakes(agents int) time.Duration {
	one := rampOf(agents) + settleTime + 2*time.Second + c.For
	if agents <= rampMost { // all start at once, too
		one += settleTime + 2*time.Second + time.Duration(agents)*time.Millisecond
	}
	return 2 * one
}

// listenStep returns the measurement of a fleet.
func (c *AllConfig) listenStep(agents int, network string, rows func(*ListenReport) []AllRow) allStep {
	s := allStep{what: fmt.Sprintf("%d agents over %s", agents, strings.ToUpper(network)), takes: c.listenTakes(agents)}
	s.command = fmt.Sprintf("listen --agents %d --network %s --for %v", agents, network, c.For)
	s.measure = func(ctx context.Context) ([]AllRow, error) {
		report, err := MeasureListen(ctx, ListenConfig{Agents: agents, For: c.For, Network: network, Progress: c.Progress})
		if err != nil {
			return nil, err
		}
		return rows(report), report.Err()
	}
	return s
}

func (c *AllConfig) largeStep() allStep { return c.listenStep(c.Agents, "tcp", c.largeRows) }

func (c *AllConfig) largeRows(m *ListenReport) []AllRow {
	agents := fmt.Sprintf("%d agents: ", c.Agents)
	return fitRows([]AllRow{
		{Work: agents + "processor time for each keep-alive of an agent", Unit: "µs", Pulse: m.KeepAlive, Beside: "bare manager", Other: m.KeepAliveBare, Goal: ratioBelow(2)},
		{Work: agents + "the same, beside what Pulse took before", Unit: "µs", Pulse: m.KeepAlive, Beside: "Pulse before", Other: recordedPulse, Recorded: true, Goal: ratioBelow(0.5)},
		{Work: agents + "the same, beside the agent's part", Unit: "µs", Pulse: m.KeepAlive, Beside: "simulated agent", Other: m.AgentSide},
		{Work: agents + "acknowledgement, p99", Unit: "ms", Pulse: m.AckP99, Beside: "bare manager", Other: m.AckBareP99, Goal: figureBelow(10)},
		{Work: agents + "memory, everyday", Unit: "MiB", Pulse: toMiB(m.Resident), Beside: "bare manager", Other: toMiB(m.ResidentBare), Goal: figureBelow(60)},
		{Work: agents + "the same, beside stock", Unit: "MiB", Pulse: toMiB(m.Resident), Beside: "stock manager", Other: recordedMemory, Recorded: true, Goal: ratioBelow(1)},
		{Work: agents + "memory, at most, while all start at once", Unit: "MiB", Pulse: toMiB(m.Peak), Beside: "bare manager, everyday", Other: toMiB(m.ResidentBare), Goal: figureBelow(90)},
		{Work: agents + "processor time for each start of an agent", Unit: "µs", Pulse: m.Start, Beside: "bare manager, without a keep-alive", Other: m.StartBare, Goal: figureBelow(250)},
		{Work: agents + "all acknowledged that start at once", Unit: "s", Pulse: m.Settled, Beside: "bare manager", Other: m.SettledBare},
	}, c.Agents == StandardAll.Agents)
}

func (c *AllConfig) smallStep() allStep { return c.listenStep(c.Small, "tcp", c.smallRows) }

func (c *AllConfig) smallRows(m *ListenReport) []AllRow {
	agents := fmt.Sprintf("%d agents: ", c.Small)
	return fitRows([]AllRow{
		{Work: agents + "processor time for each keep-alive of an agent", Unit: "µs", Pulse: m.KeepAlive, Beside: "bare manager", Other: m.KeepAliveBare, Goal: ratioBelow(2)},
		{Work: agents + "the same, beside stock", Unit: "µs", Pulse: m.KeepAlive, Beside: "wazuh-remoted", Other: recordedRemoted, Recorded: true, Goal: ratioBelow(0.3)},
	}, c.Small == StandardAll.Small)
}

// ConnectionLimit returns how many agents over TCP a node has open files for: it keeps some
// for others.
func ConnectionLimit() int {
	const others = 512
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil || files.Cur < 2*others {
		return others
	}
	return int(min(files.Cur, 1<<20)) - others
}

func (c *AllConfig) tcpStep() allStep { return c.listenStep(c.TCP, "tcp", c.tcpRows) }

func (c *AllConfig) tcpRows(m *ListenReport) []AllRow {
	return c.widthRows(c.TCP, "TCP", m)
}

func (c *AllConfig) datagramStep() allStep { return c.listenStep(c.UDP, "udp", c.datagramRows) }

func (c *AllConfig) datagramRows(m *ListenReport) []AllRow {
	return c.widthRows(c.UDP, "UDP", m)
}

// widthRows returns the rows of a fleet that is as large as one node takes.
func (c *AllConfig) widthRows(n int, network string, m *ListenReport) []AllRow {
	agents, start := fmt.Sprintf("%d agents over %s: ", n, network), "at once"
	if n > rampMost {
		start = fmt.Sprintf("over %v", rampOf(n))
	}
	return []AllRow{
		{Work: agents + "connected and acknowledged", Pulse: float64(m.Connected), Beside: "all of them", Other: float64(m.Agents), Goal: ratioAtLeast(1)},
		{Work: agents + "all acknowledged that start " + start, Unit: "s", Pulse: m.Settled, Beside: "bare manager", Other: m.SettledBare},
		{Work: agents + "processor time for each keep-alive of an agent", Unit: "µs", Pulse: m.KeepAlive, Beside: "bare manager", Other: m.KeepAliveBare},
		{Work: agents + "acknowledgement, p99", Unit: "ms", Pulse: m.AckP99, Beside: "bare manager", Other: m.AckBareP99},
		{Work: agents + "memory, everyday", Unit: "MiB", Pulse: toMiB(m.Resident), Beside: "bare manager", Other: toMiB(m.ResidentBare)},
	}
}

func toMiB(bytes int64) float64 { return float64(bytes) / (1 << 20) }
