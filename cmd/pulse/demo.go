package main

import (
	"errors"
	"io"

	"github.com/wazuh-pulse/pulse/internal/demo"
)

type demoCommand struct{ demo.Flags }

func (*demoCommand) Help() string {
	return `Everything runs on free loopback ports and in a temporary directory, with timings that are short enough to see each
kind of death found: shutdown, kill (the connection closes), hang (it stays open and silent), and a cut network.

    pulse demo --for 30s
    pulse demo --agents 200 --for 30s --json
    pulse demo --outage
    pulse demo --server nats://127.0.0.1:4222

The exit code is 1 if a death was not found or a living agent was called dead. In the last seconds before --for is over no
agent dies, as there would be no time to find it: give it 20 s or more.

With --outage all agents lose their network at once: the exit code is 1 unless that is told as one fleet_outage and one
fleet_recovered, without an alert of a single agent. It ends by itself, after some 40 s.

With --attach it is as with most installations: agents connect to a stock Wazuh manager, a simulated one, and Pulse is beside it.
That manager is not a part of this program. In a clone:

    go run ./cmd/pulse-bench demo --attach --for 40s

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
	cfg, err := c.Config()
	if err == nil && c.Attach {
		err = errors.New("--attach: the simulated manager is a part of pulse-bench and not of this program\n" +
			"use: go run github.com/wazuh-pulse/pulse/cmd/pulse-bench@latest demo --attach")
	}
	if err != nil {
		return usageError{err}
	}
	cfg.Version, cfg.Out = version, e.stdout
	if c.JSON {
		cfg.Out = io.Discard
	}
	report, err := demo.Run(e.ctx, cfg)
	if err != nil {
		return err
	}
	return show(e.stdout, report, c.JSON)
}
