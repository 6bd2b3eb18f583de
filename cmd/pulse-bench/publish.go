package main

import (
	"context"
	"fmt"
	"os"

	"github.com/wazuh-pulse/pulse/internal/bench"
	"github.com/wazuh-pulse/pulse/internal/daemon"
)

type publishCommand struct {
	Sign     bool   `help:"Sign the messages, as a node does unless it is told otherwise. Default: the way alone is measured."`
	Server   string `placeholder:"URL" help:"A NATS server with JetStream to publish to. Default: one of its own, in a process of its own."`
	Messages int    `default:"200000" placeholder:"N" help:"How many messages go the whole way (1000 to 10000000). Default: ${default}."`
	JSON     bool   `help:"Print one JSON object instead of lines."`
}

func (*publishCommand) Help() string {
	return `What a node has behind its detector, from the decision to a message that the NATS server has confirmed: stored on the
local disk, forwarded, stored on the server's. Beside it, in the same run, the bare NATS client publishes the same messages
to the same server.

The parts: all messages as fast as they go; a status change's latency at 500 decisions a second; a storm of status changes
(a twentieth of the messages); an outage of the server, for which six times as many messages are stored, and catching up
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
	report, err := bench.MeasurePublish(ctx, bench.PublishConfig{Server: c.Server, Messages: c.Messages, Sign: c.Sign, Progress: os.Stderr})
	if err != nil {
		return err
	}
	return writeReport(report, c.JSON)
}
