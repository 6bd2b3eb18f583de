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
	return `A node, its agents and a NATS server, in processes of their own. The node has default settings, but for a telemetry_limit of
256 MB, which 8000 agents fill in a quarter of an hour. In each round of 100 s a hundredth of the agents are killed, hang,
are cut off, switched off or stop, and come back; clients that are no agents connect and send garbage. In every fourth
round the NATS server is killed for 30 s, and in every fourth one all agents lose their network.
After each round, when all is calm, a line has what the node uses.

    pulse-bench soak --agents 8000 --for 2h
    pulse-bench soak --agents 200 --for 25m --json

At the end it judges whether the node's memory, heap, goroutines or open files grow. The first quarter of the rounds does
not count: what is kept for each agent and message is made in it. Of the others it takes the median slope (Theil and Sen).
A figure grew if its trend is more than three standard deviations from chance (Mann and Kendall), and comes to more than 2
MiB and 2 % of it in these rounds (1 MiB and 2 % for the heap, 4 for goroutines and files). That takes 12 rounds, which
are 20 minutes: with fewer "judged" is false. A leak of 3 MiB an hour is found in two hours, and a smaller one in more.

Ctrl-C ends it after the round, and it prints what it has. The exit code is 1 if something grew, if a message was lost or
came twice, or if an agent that lived was reported as lost.`
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
