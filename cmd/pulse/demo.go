package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/wazuh-pulse/pulse/internal/demo"
)

// outageLength is how long the demo's outage lasts.
const outageLength = 20 * time.Second

type demoCommand struct {
	Agents  int           `default:"50" placeholder:"N" help:"How many agents to simulate (1 to 5000, with --outage 20 or more). Default: ${default}."`
	For     time.Duration `default:"0s" placeholder:"DURATION" help:"How long to run, such as 30s. Default: until Ctrl-C, or until the outage is over."`
	Outage  bool          `help:"Cut all agents off from the network at once, for 20 s, instead of one after the other."`
	Attach  bool          `help:"Let the agents be a stock Wazuh manager's, a simulated one, and attach Pulse to that."`
	Server  string        `placeholder:"URL" help:"Publish to this NATS server, such as nats://127.0.0.1:4222, instead of one of the demo's own."`
	State   string        `name:"state-dir" placeholder:"DIR" type:"path" help:"Keep Pulse's own data here, and leave it there: its audit log, and the messages. It must not be there yet."`
	Sign    bool          `help:"Sign the messages, and verify each as an XDR platform does."`
	Encrypt bool          `help:"Sign and encrypt them. With both, it is told how a second terminal can read along."`
	JSON    bool          `help:"Print one JSON object at the end instead of a story."`
}

func (*demoCommand) Help() string {
	return `Everything runs on free loopback ports and in a temporary directory, with timings that are short enough to see each
kind of death found: shutdown, kill (the connection closes), hang (it stays open and silent), and a cut network.

    pulse demo --for 30s
    pulse demo --agents 200 --for 30s --json
    pulse demo --outage
    pulse demo --attach --for 40s
    pulse demo --server nats://127.0.0.1:4222

The exit code is 1 if a death was not found or a living agent was called dead. In the last seconds before --for is over no
agent dies, as there would be no time to find it: give it 20 s or more.

With --outage all agents lose their network at once: the exit code is 1 unless that is told as one fleet_outage and one
fleet_recovered, without an alert of a single agent. It ends by itself, after some 40 s.

With --attach it is as with most installations: agents connect to a stock Wazuh manager, made of recordings of the real one, and
Pulse is beside it. At the end it is told what Pulse asked of the manager, and the exit code is 1 also if the manager's database
or its rule 504 was not told of a loss, or told twice.

With --server the messages go to a NATS server of yours, on subjects that begin with pulse-demo. Stop it for a while and
start it again: agents go on dying meanwhile, and when it is back every message arrives, in order and once. Where it has
JetStream, the demo keeps what it hears in a stream of its own and removes that at its end. The exit code is 1 if a message
did not arrive.

With --sign and --encrypt every message is verified and decrypted before it counts, and one that is refused makes the exit code 1.

    pulse demo --sign --encrypt

With --state-dir, see what the demo leaves behind:

    pulse demo --for 30s --state-dir /tmp/demo && pulse audit verify /tmp/demo/audit`
}

func (c *demoCommand) Run(e *env) error {
	cfg := demo.Config{Agents: c.Agents, For: c.For, Attach: c.Attach, Server: c.Server, StateDir: c.State, Sign: c.Sign || c.Encrypt, Encrypt: c.Encrypt, Version: version, Out: e.stdout}
	if c.Outage {
		cfg.Outage = outageLength
	}
	if err := c.check(); err != nil {
		return usageError{err}
	}
	if c.JSON {
		cfg.Out = io.Discard
	}
	report, err := demo.Run(e.ctx, cfg)
	if err != nil {
		return err
	}
	return show(e.stdout, report, c.JSON)
}

func (c *demoCommand) check() error {
	switch least := demo.OutageTime(outageLength); {
	case c.Agents < 1 || c.Agents > 5000:
		return fmt.Errorf("--agents %d: want 1 to 5000", c.Agents)
	case c.For < 0:
		return fmt.Errorf("--for %v: want a positive duration, or 0 for no end", c.For)
	case c.Outage && c.Attach:
		return errors.New("--outage and --attach: one at a time")
	case c.Outage && c.Agents < demo.MinOutageAgents:
		return fmt.Errorf("--agents %d: with --outage want %d or more: fewer losses are told one by one", c.Agents, demo.MinOutageAgents)
	case c.Outage && c.For > 0 && c.For < least:
		return fmt.Errorf("--for %v: with --outage want %v or more, or leave it out", c.For, least)
	}
	return nil
}
