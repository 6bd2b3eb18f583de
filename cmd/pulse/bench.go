package main

import (
	"fmt"
	"os"
	"time"

	"github.com/wazuh-pulse/pulse/internal/bench"
)

type benchCommand struct {
	Detector benchDetectorCommand `cmd:"" help:"Measure the failure detector with many agents, without a network."`
	Publish  benchPublishCommand  `cmd:"" help:"Measure the way out, from the detector's decision to a message that a NATS server has confirmed."`
	Attach   benchAttachCommand   `cmd:"" help:"Measure Pulse beside a (simulated) Wazuh manager, and what it costs the manager."`
	Server   benchServerCommand   `cmd:"" name:"nats-server" hidden:""`
	Guest    benchGuestCommand    `cmd:"" name:"guest" hidden:""`
	Manager  benchManagerCommand  `cmd:"" name:"manager" hidden:""`
	Agents   benchAgentsCommand   `cmd:"" name:"population" hidden:""`
}

func (*benchCommand) Help() string {
	return `Figures for this machine, to compare with those in docs/performance.md.

    pulse bench detector --agents 100000
    pulse bench publish
    pulse bench attach`
}

type benchDetectorCommand struct {
	Agents int           `default:"1000000" placeholder:"N" help:"How many agents (1 to 10000000). Default: ${default}."`
	For    time.Duration `default:"30s" placeholder:"DURATION" help:"How long to measure. Default: ${default}."`
	JSON   bool          `help:"Print one JSON object instead of lines."`
}

func (*benchDetectorCommand) Help() string {
	return `A detector with default settings holds the agents in memory. Each agent is heard every 10 s, is sent a keep-alive
every 60 s, and answers it. A million need less than 400 MiB and a part of one core.

    pulse bench detector --agents 100000 --for 10s
    pulse bench detector --json > figures.json

Progress goes to standard error. Ctrl-C ends the measurement early, with the figures so far. The exit code is 1 if an agent
was called disconnected (all of them live) or if the detector could not keep up.`
}

func (c *benchDetectorCommand) Run(e *env) error {
	if c.Agents < 1 || c.Agents > 10_000_000 {
		return usageError{fmt.Errorf("--agents %d: want 1 to 10000000", c.Agents)}
	}
	if c.For <= 0 {
		return usageError{fmt.Errorf("--for %v: want a positive duration, such as 30s", c.For)}
	}
	report, err := bench.Detector(e.ctx, bench.DetectorConfig{Agents: c.Agents, For: c.For, Progress: e.stderr})
	if err != nil {
		return err
	}
	return show(e.stdout, report, c.JSON)
}

type benchPublishCommand struct {
	Sign     bool   `help:"Sign the messages, as a node does unless it is told otherwise. Default: the way alone is measured."`
	Server   string `placeholder:"URL" help:"A NATS server with JetStream to publish to. Default: one of its own, in a process of its own."`
	Messages int    `default:"200000" placeholder:"N" help:"How many messages go the whole way (1000 to 10000000). Default: ${default}."`
	JSON     bool   `help:"Print one JSON object instead of lines."`
}

func (*benchPublishCommand) Help() string {
	return `What a node has behind its detector, from the decision to a message that the NATS server has confirmed: stored on the
local disk, forwarded, stored on the server's. Beside it, in the same run, the bare NATS client publishes the same messages
to the same server.

The parts: all messages as fast as they go; a status change's latency at 500 decisions a second; a storm of status changes
(a twentieth of the messages); an outage of the server, for which six times as many messages are stored, and catching up
with it while keep-alives of 10 000 agents go on.

    pulse bench publish
    pulse bench publish --server nats://127.0.0.1:4222 --messages 20000 --json

On a server of yours it makes two streams, PULSE_BENCH and PULSE_BENCH_BARE, and removes them at the end. It writes about
2 KiB of temporary files a message. Progress goes to standard error. The exit code is 1 if the server did not store every
message exactly once.`
}

func (c *benchPublishCommand) Run(e *env) error {
	if c.Messages < 1000 || c.Messages > 10_000_000 {
		return usageError{fmt.Errorf("--messages %d: want 1000 to 10000000", c.Messages)}
	}
	setGC()
	report, err := bench.Publish(e.ctx, bench.PublishConfig{Server: c.Server, Messages: c.Messages, Sign: c.Sign, Progress: e.stderr})
	if err != nil {
		return err
	}
	return show(e.stdout, report, c.JSON)
}

// benchServerCommand is the other end of benchPublishCommand.
type benchServerCommand struct {
	Dir string `arg:""`
}

func (c *benchServerCommand) Run(e *env) error { return bench.Serve(c.Dir, os.Stdin, e.stdout) }

type benchAttachCommand struct {
	Agents int           `default:"10000" placeholder:"N" help:"How many agents (100 to 50000). Each takes an open file of two processes. Default: ${default}."`
	For    time.Duration `default:"1m" placeholder:"DURATION" help:"How long to measure the load of everyday. Default: ${default}."`
	JSON   bool          `help:"Print one JSON object instead of lines."`
}

func (*benchAttachCommand) Help() string {
	return `A node with default settings, attached to a simulated manager that runs in a process of its own, and so do its agents. They
connect from loopback addresses of their own and send their keep-alives every 10 s.

The parts: reading all agents; everyday; agents that are killed, one after the other; agents that hang; a twentieth of all
agents hanging, while another client asks remoted for one that lives.

    pulse bench attach --agents 1000 --for 20s

Progress goes to standard error. The exit code is 1 if more was asked of the manager at once than may be.`
}

func (c *benchAttachCommand) Run(e *env) error {
	if c.Agents < 100 || c.Agents > 50_000 {
		return usageError{fmt.Errorf("--agents %d: want 100 to 50000", c.Agents)}
	}
	if c.For <= 0 {
		return usageError{fmt.Errorf("--for %v: want a positive duration, such as 1m", c.For)}
	}
	setGC()
	report, err := bench.Attach(e.ctx, bench.AttachConfig{Agents: c.Agents, For: c.For, Progress: e.stderr})
	if err != nil {
		return err
	}
	return show(e.stdout, report, c.JSON)
}

// benchGuestCommand is another client of that manager.
type benchGuestCommand struct {
	Dir   string `arg:""`
	Agent string `arg:""`
}

func (c *benchGuestCommand) Run(e *env) error {
	return bench.Guest(c.Dir, c.Agent, os.Stdin, e.stdout)
}

// benchManagerCommand is the manager of benchAttachCommand.
type benchManagerCommand struct {
	Dir    string `arg:""`
	Agents int    `arg:""`
}

func (c *benchManagerCommand) Run(e *env) error {
	return bench.Manage(c.Dir, c.Agents, os.Stdin, e.stdout)
}

// benchAgentsCommand is that manager's agents.
type benchAgentsCommand struct {
	Addr   string `arg:""`
	Agents int    `arg:""`
}

func (c *benchAgentsCommand) Run(e *env) error {
	return bench.Populate(c.Addr, c.Agents, os.Stdin, e.stdout)
}
