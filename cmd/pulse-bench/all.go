package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/wazuh-pulse/pulse/internal/bench"
	"github.com/wazuh-pulse/pulse/internal/daemon"
)

type allCommand struct {
	Agents   int           `default:"10000" placeholder:"N" help:"How many agents the large fleet has (100 to 50000). Default: ${default}."`
	Small    int           `default:"2000" placeholder:"N" help:"How many the small one has (10 to 50000). Default: ${default}."`
	TCP      int           `default:"19000" placeholder:"N" help:"How many agents there are over TCP in the largest fleet, or as many as open files allow (10 to 200000; 0 for none). Default: ${default}."`
	UDP      int           `default:"100000" placeholder:"N" help:"How many agents there are over UDP (10 to 200000; 0 for none). Default: ${default}."`
	Messages int           `default:"200000" placeholder:"N" help:"How many messages are published (1000 to 10000000). Default: ${default}."`
	For      time.Duration `default:"30s" placeholder:"DURATION" help:"How long to measure each usual load. Default: ${default}."`
	Quick    bool          `help:"A tenth of all of these: it takes some 4 minutes, and has no goals."`
	JSON     bool          `help:"Print one JSON object instead of lines."`
}

func (*allCommand) Help() string {
	return `The measurements listen (of two fleets, and of as many agents as one node takes over TCP and UDP), publish --sign, and the
usual load of attach, one after the other. Each figure is printed beside that of something simpler, measured in the same
run, with their ratio, and with what it should be and whether it is. What stock Wazuh takes cannot be measured without it:
those figures are recorded ones, and marked. Goals are for the default numbers of agents and messages.

    pulse-bench all --json > all.json
    pulse-bench table < all.json
    pulse-bench all --quick

Each row of the JSON has the command that measures it alone. It takes some 12 minutes, and says on standard error what runs
and how long it will take. Ctrl-C ends it, and it prints the rows that it has.

The exit code is 1 if a measurement fails, was ended, or shows that something is wrong: not if a goal is not reached.`
}

func (c *allCommand) Run(ctx context.Context) error {
	switch {
	case c.Agents < 100 || c.Agents > 50_000:
		return usageError{fmt.Errorf("--agents %d: want 100 to 50000", c.Agents)}
	case c.Small < 10 || c.Small > 50_000:
		return usageError{fmt.Errorf("--small %d: want 10 to 50000", c.Small)}
	case c.TCP != 0 && c.TCP < 10 || c.TCP > 200_000:
		return usageError{fmt.Errorf("--tcp %d: want 10 to 200000, or 0", c.TCP)}
	case c.UDP != 0 && c.UDP < 10 || c.UDP > 200_000:
		return usageError{fmt.Errorf("--udp %d: want 10 to 200000, or 0", c.UDP)}
	case c.Messages < 1000 || c.Messages > 10_000_000:
		return usageError{fmt.Errorf("--messages %d: want 1000 to 10000000", c.Messages)}
	case c.For <= 0:
		return usageError{fmt.Errorf("--for %v: want a positive duration, such as 30s", c.For)}
	}
	daemon.SetGCPercent()
	cfg := bench.AllConfig{Agents: c.Agents, Small: c.Small, TCP: min(c.TCP, bench.ConnectionLimit()), UDP: c.UDP, Messages: c.Messages, For: c.For, Progress: os.Stderr}
	if c.Quick {
		cfg.Agents, cfg.Small, cfg.TCP, cfg.UDP, cfg.Messages, cfg.For = max(cfg.Agents/10, 100), max(cfg.Small/10, 10), cfg.TCP/10, cfg.UDP/10, max(cfg.Messages/10, 1000), cfg.For/10
	}
	return writeReport(bench.MeasureAll(ctx, cfg), c.JSON)
}
