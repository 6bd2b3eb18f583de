package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/wazuh-pulse/pulse/internal/bench"
)

type detectorCommand struct {
	Agents int           `default:"1000000" placeholder:"N" help:"How many agents (1 to 10000000). Default: ${default}."`
	For    time.Duration `default:"30s" placeholder:"DURATION" help:"How long to measure. Default: ${default}."`
	JSON   bool          `help:"Print one JSON object instead of lines."`
}

func (*detectorCommand) Help() string {
	return `A detector with default settings holds the agents in memory. Each agent is heard every 10 s, is sent a keep-alive
every 60 s, and answers it. A million need less than 400 MiB and a part of one core.

    pulse-bench detector --agents 100000 --for 10s
    pulse-bench detector --json > figures.json

Progress goes to standard error. Ctrl-C ends the measurement early, with the figures so far. The exit code is 1 if an agent
was called disconnected (all of them live) or if the detector could not keep up.`
}

func (c *detectorCommand) Run(ctx context.Context) error {
	if c.Agents < 1 || c.Agents > 10_000_000 {
		return usageError{fmt.Errorf("--agents %d: want 1 to 10000000", c.Agents)}
	}
	if c.For <= 0 {
		return usageError{fmt.Errorf("--for %v: want a positive duration, such as 30s", c.For)}
	}
	report, err := bench.MeasureDetector(ctx, bench.DetectorConfig{Agents: c.Agents, For: c.For, Progress: os.Stderr})
	if err != nil {
		return err
	}
	return writeReport(report, c.JSON)
}
