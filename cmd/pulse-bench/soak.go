package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/wazuh-pulse/pulse/internal/bench"
)

type soakCommand struct {
	Agents int           `default:"8000" placeholder:"N" help:"How many agents (10 to 20000). Each takes an open file of two processes. Default: ${default}."`
	For    time.Duration `default:"2h" placeholder:"DURATION" help:"How long; it ends with a round, of 100 s each. Default: ${default}."`
	JSON   bool          `help:"Print one JSON object instead of lines."`
}

func (*soakCommand) Help() string {
	return `A node with default settings, its agents and a NATS server, in processes of their own. In each round of 100 s a hundredth of the
agents are killed, hang, are cut off, switched off or stop, and come back; clients that are no agents connect and send
garbage. In every fourth round the NATS server is killed for 30 s, and in every fourth one all agents lose their network.
After each round, when all is calm, a line has what the node uses.

    pulse-bench soak --agents 8000 --for 2h
    pulse-bench soak --agents 200 --for 10m --json

Ctrl-C ends it after the round. The exit code is 1 if the node's memory, goroutines or open files grew from the second
quarter of the rounds to the last one, if a message was lost or came twice, or if an agent that lived was reported as lost.`
}

func (c *soakCommand) Run(ctx context.Context) error {
	if c.Agents < 10 || c.Agents > 20_000 {
		return usageError{fmt.Errorf("--agents %d: want 10 to 20000", c.Agents)}
	}
	if c.For <= 0 {
		return usageError{fmt.Errorf("--for %v: want a positive duration, such as 2h", c.For)}
	}
	report, err := bench.RunSoak(ctx, bench.SoakConfig{Agents: c.Agents, For: c.For, Progress: os.Stderr})
	if err != nil {
		return err
	}
	return writeReport(report, c.JSON)
}
