package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/wazuh-pulse/pulse/internal/bench"
	"github.com/wazuh-pulse/pulse/internal/daemon"
)

type clusterCommand struct {
	Nodes  int           `default:"5" placeholder:"N" help:"How many nodes (2 to 32). Default: ${default}."`
	Agents int           `default:"100000" placeholder:"N" help:"How many agents (100 to 1000000). Default: ${default}."`
	Calm   time.Duration `default:"10s" placeholder:"DURATION" help:"How long nothing happens. Default: ${default}."`
	JSON   bool          `help:"Print one JSON object instead of lines."`
}

func (*clusterCommand) Help() string {
	return `The shared view of a cluster: its nodes run in this process, the NATS server in one of its own. Each node claims its part of
the agents; 20 000 of them, or a fifth, change nodes at once; nothing happens for a while; one more node reads everything.

    pulse-bench cluster
    pulse-bench cluster --nodes 3 --agents 1000000 --json

Progress goes to standard error. The exit code is 1 if a record was refused.`
}

func (c *clusterCommand) Run(ctx context.Context) error {
	if c.Nodes < 2 || c.Nodes > 32 {
		return usageError{fmt.Errorf("--nodes %d: want 2 to 32", c.Nodes)}
	}
	if c.Agents < 100 || c.Agents > 1_000_000 {
		return usageError{fmt.Errorf("--agents %d: want 100 to 1000000", c.Agents)}
	}
	if c.Calm <= 0 {
		return usageError{fmt.Errorf("--calm %v: want a positive duration, such as 10s", c.Calm)}
	}
	daemon.SetGCPercent()
	report, err := bench.MeasureCluster(ctx, bench.ClusterConfig{Nodes: c.Nodes, Agents: c.Agents, Moved: min(20_000, c.Agents/5), Calm: c.Calm, Progress: os.Stderr})
	if err != nil {
		return err
	}
	return writeReport(report, c.JSON)
}
