package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/wazuh-pulse/pulse/internal/bench"
)

type listenCommand struct {
	Agents  int           `default:"10000" placeholder:"N" help:"How many agents (10 to 200000). Over TCP each takes an open file of two processes. Default: ${default}."`
	For     time.Duration `default:"30s" placeholder:"DURATION" help:"How long to measure the usual load. Default: ${default}."`
	Network string        `default:"tcp" enum:"tcp,udp" placeholder:"NETWORK" help:"tcp or udp. Default: ${default}."`
	Profile string        `placeholder:"FILE" help:"Write a profile of the node's processor time in the usual load, for go tool pprof."`
	JSON    bool          `help:"Print one JSON object instead of lines."`
}

func (*listenCommand) Help() string {
	return `A node with default settings is the agents' manager. Beside it, in the same run and with the same agents, is a bare manager
of the standard library alone, which reads, decrypts, inflates and acknowledges, and does nothing else. Each runs in a process of
its own, and so do the agents, which send their keep-alives every 10 s.

The parts, first of the bare manager and then of the node: all agents start at once; the usual load.

    pulse-bench listen --agents 2000 --for 20s
    pulse-bench listen --agents 100000 --network udp

Progress goes to standard error. The exit code is 1 if a connection was refused.`
}

func (c *listenCommand) Run(ctx context.Context) error {
	if c.Agents < 10 || c.Agents > 200_000 {
		return usageError{fmt.Errorf("--agents %d: want 10 to 200000", c.Agents)}
	}
	if c.For <= 0 {
		return usageError{fmt.Errorf("--for %v: want a positive duration, such as 30s", c.For)}
	}
	report, err := bench.MeasureListen(ctx, bench.ListenConfig{Agents: c.Agents, For: c.For, Network: c.Network, Profile: c.Profile, Progress: os.Stderr})
	if err != nil {
		return err
	}
	return writeReport(report, c.JSON)
}
