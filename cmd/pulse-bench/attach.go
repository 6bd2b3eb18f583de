package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/wazuh-pulse/pulse/internal/bench"
	"github.com/wazuh-pulse/pulse/internal/daemon"
)

type attachCommand struct {
	Agents int           `default:"10000" placeholder:"N" help:"How many agents (100 to 50000). Each takes an open file of two processes. Default: ${default}."`
	For    time.Duration `default:"1m" placeholder:"DURATION" help:"How long to measure the load of everyday. Default: ${default}."`
	JSON   bool          `help:"Print one JSON object instead of lines."`
}

func (*attachCommand) Help() string {
	return `A node with default settings, attached to a simulated manager that runs in a process of its own, and so do its agents. They
connect from loopback addresses of their own and send their keep-alives every 10 s.

The parts: reading all agents; everyday; agents that are killed, one after the other; agents that hang; a twentieth of all
agents hanging, while another client asks remoted for one that lives.

    pulse-bench attach --agents 1000 --for 20s

Progress goes to standard error. The exit code is 1 if more was asked of the manager at once than may be.`
}

func (c *attachCommand) Run(ctx context.Context) error {
	if c.Agents < 100 || c.Agents > 50_000 {
		return usageError{fmt.Errorf("--agents %d: want 100 to 50000", c.Agents)}
	}
	if c.For <= 0 {
		return usageError{fmt.Errorf("--for %v: want a positive duration, such as 1m", c.For)}
	}
	daemon.SetGCPercent()
	report, err := bench.MeasureAttach(ctx, bench.AttachConfig{Agents: c.Agents, For: c.For, Progress: os.Stderr})
	if err != nil {
		return err
	}
	return writeReport(report, c.JSON)
}
