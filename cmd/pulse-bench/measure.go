package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/wazuh-pulse/pulse/internal/bench"
	"github.com/wazuh-pulse/pulse/internal/daemon"
)

type detectorCommand struct {
	Agents int           `default:"1000000" placeholder:"N" help:"How many agents (1 to 10000000). Default: ${default}."`
	For    time.Duration `default:"30s" placeholder:"DURATION" help:"How long to measure. Default: ${default}."`
	JSON   bool          `help:"Print one JSON object instead of lines."`
}

func (*detectorCommand) Help() string {
	return `A detector with default settings has the agents in memory. Each agent sends a message every 10 s, is sent a keep-alive
every 60 s, and answers it. A million need less than 400 MiB and a part of one core.

    pulse-bench detector --agents 100000 --for 10s
    pulse-bench detector --json > figures.json

Progress goes to standard error. Ctrl-C ends the measurement early, with the figures so far. The exit code is 1 if an agent
was reported as disconnected (none of them fails) or if the detector could not keep up.`
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

type publishCommand struct {
	Sign     bool   `help:"Sign the messages, as a node does unless it is told otherwise. Default: without signatures."`
	Server   string `placeholder:"URL" help:"A NATS server with JetStream to publish to. Default: one of its own, in a process of its own."`
	Messages int    `default:"200000" placeholder:"N" help:"How many messages are published (1000 to 10000000). Default: ${default}."`
	Brief    bool   `help:"Only all messages and the storm, and the bare client."`
	Profile  string `placeholder:"FILE" help:"Write a profile of this process's processor time while all messages, and then the storm, go out, for go tool pprof."`
	JSON     bool   `help:"Print one JSON object instead of lines."`
}

func (*publishCommand) Help() string {
	return `What a node does behind its detector, from the decision to a message that the NATS server has confirmed: stored on the
local disk, forwarded, stored on the server's. Beside it, in the same run, the bare NATS client publishes the same messages
to the same server.

The parts: all messages as fast as they go; a storm of status changes (a twentieth of the messages); a status change's
latency at 500 decisions a second; an outage of the server, for which six times as many messages are stored, and catching up
with it while keep-alives of 10 000 agents go on.

    pulse-bench publish
    pulse-bench publish --server nats://127.0.0.1:4222 --messages 20000 --json

On a server of yours it makes two streams, PULSE_BENCH and PULSE_BENCH_BARE, and removes them at the end. It writes about
2 KiB of temporary files a message. Progress goes to standard error. The exit code is 1 if the server did not store every
message exactly once.`
}

func (c *publishCommand) Run(ctx context.Context) error {
	if c.Messages < 1000 || c.Messages > 10_000_000 {
		return usageError{fmt.Errorf("--messages %d: want 1000 to 10000000", c.Messages)}
	}
	daemon.SetGCPercent()
	report, err := bench.MeasurePublish(ctx, bench.PublishConfig{Server: c.Server, Messages: c.Messages, Sign: c.Sign, Brief: c.Brief, Profile: c.Profile, Progress: os.Stderr})
	if err != nil {
		return err
	}
	return writeReport(report, c.JSON)
}

type attachCommand struct {
	Agents   int           `default:"10000" placeholder:"N" help:"How many agents (100 to 50000). Each takes an open file of two processes. Default: ${default}."`
	For      time.Duration `default:"1m" placeholder:"DURATION" help:"How long to measure the usual load. Default: ${default}."`
	Wazuh    int           `default:"4" placeholder:"N" help:"The manager's and the agents' version, 4 or 5. Default: ${default}."`
	Interval time.Duration `default:"60s" placeholder:"DURATION" help:"The time between keep-alives to one agent (1s to 180s). Default: ${default}."`
	Everyday bool          `help:"Measure the usual load of a manager of Wazuh 4, and nothing else."`
	Profile  string        `placeholder:"FILE" help:"Write a profile of the node's processor time in the usual load, for go tool pprof."`
	JSON     bool          `help:"Print one JSON object instead of lines."`
}

func (*attachCommand) Help() string {
	return `A node with default settings, attached to a simulated manager that runs in a process of its own, and so do its agents. They
connect from loopback addresses of their own and send their keep-alives every 10 s.

The parts: the manager alone; beside a bare reader of the standard library, which reads in the same table who has sent a
keep-alive and asks each agent as often; reading all agents; the usual load; agents that are killed, one after the other;
agents that hang; a twentieth of all agents hanging, while another client asks remoted for one that runs.

    pulse-bench attach --agents 1000 --for 20s
    pulse-bench attach --everyday --profile cpu.out
    pulse-bench attach --interval 120s

With --wazuh 5 both are of Wazuh 5, with the manager's settings as shipped: one keep-alive a minute of each agent reaches its
database, and nothing else shows that it lives. The parts: the manager and its agents alone; the usual load; a hundred agents
that are killed over a minute. It takes six minutes, as losses take more than one.

    pulse-bench attach --wazuh 5

Progress goes to standard error. The exit code is 1 if more was asked of the manager at once than may be, or, with --wazuh 5,
if an agent that lives was given up or an agent of 5 was asked anything.`
}

func (c *attachCommand) Run(ctx context.Context) error {
	if c.Agents < 100 || c.Agents > 50_000 {
		return usageError{fmt.Errorf("--agents %d: want 100 to 50000", c.Agents)}
	}
	if c.For <= 0 {
		return usageError{fmt.Errorf("--for %v: want a positive duration, such as 1m", c.For)}
	}
	if c.Wazuh != 4 && c.Wazuh != 5 {
		return usageError{fmt.Errorf("--wazuh %d: want 4 or 5", c.Wazuh)}
	}
	if c.Interval < time.Second || c.Interval > 180*time.Second {
		return usageError{fmt.Errorf("--interval %v: want 1s to 180s", c.Interval)}
	}
	daemon.SetGCPercent()
	cfg := bench.AttachConfig{Agents: c.Agents, For: c.For, Interval: c.Interval, Everyday: c.Everyday, Profile: c.Profile, Progress: os.Stderr}
	if c.Wazuh == 5 {
		report, err := bench.MeasureAttach5(ctx, cfg)
		if err != nil {
			return err
		}
		return writeReport(report, c.JSON)
	}
	report, err := bench.MeasureAttach(ctx, cfg)
	if err != nil {
		return err
	}
	return writeReport(report, c.JSON)
}
