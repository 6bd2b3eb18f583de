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
	UDP      int           `default:"100000" placeholder:"N" help:"How many agents there are over UDP (10 to 200000; 0 for none). Default: ${default}."`
	Messages int           `default:"200000" placeholder:"N" help:"How many messages are published (1000 to 10000000). Default: ${default}."`
	For      time.Duration `default:"30s" placeholder:"DURATION" help:"How long to measure each usual load. Default: ${default}."`
	JSON     bool          `help:"Print one JSON object instead of lines."`
}

func (*allCommand) Help() string {
	return `The measurements listen (twice over TCP, and over UDP), publish --sign, and the usual load of attach, one after the other. Each figure is
printed beside that of something simpler, measured in the same run, and their ratio. What stock Wazuh takes cannot be measured
without it: those figures are recorded ones, and marked.

    pulse-bench all --json
    pulse-bench all --agents 1000 --small 100 --udp 1000 --messages 20000 --for 10s

It takes some 10 minutes. Progress goes to standard error. The exit code is 1 if one of the measurements shows that something
is wrong.`
}

func (c *allCommand) Run(ctx context.Context) error {
	switch {
	case c.Agents < 100 || c.Agents > 50_000:
		return usageError{fmt.Errorf("--agents %d: want 100 to 50000", c.Agents)}
	case c.Small < 10 || c.Small > 50_000:
		return usageError{fmt.Errorf("--small %d: want 10 to 50000", c.Small)}
	case c.UDP != 0 && c.UDP < 10 || c.UDP > 200_000:
		return usageError{fmt.Errorf("--udp %d: want 10 to 200000, or 0", c.UDP)}
	case c.Messages < 1000 || c.Messages > 10_000_000:
		return usageError{fmt.Errorf("--messages %d: want 1000 to 10000000", c.Messages)}
	case c.For <= 0:
		return usageError{fmt.Errorf("--for %v: want a positive duration, such as 30s", c.For)}
	}
	daemon.SetGCPercent()
	report, err := bench.MeasureAll(ctx, bench.AllConfig{Agents: c.Agents, Small: c.Small, UDP: c.UDP, Messages: c.Messages, For: c.For, Progress: os.Stderr})
	if err != nil {
		return err
	}
	return writeReport(report, c.JSON)
}
