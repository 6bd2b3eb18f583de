package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/wazuh-pulse/pulse/internal/daemon"
	"github.com/wazuh-pulse/pulse/internal/plural"
	"github.com/wazuh-pulse/pulse/internal/printable"
)

type statusCommand struct {
	settingsFlag
	JSON bool `help:"Print the daemon's own JSON, one object."`
}

func (*statusCommand) Help() string {
	return `Reads from the running daemon on this host, at <pulse><http> of its settings: how it is, how the fleet is, and what is wrong.
The exit code is 0 while the daemon does its work, with warnings too, and 1 when it does not, or does not answer: for scripts, and
for the health check of a container.

    pulse status
    pulse status --json | jq .agents`
}

// errUnhealthy ends pulse status, which has printed why.
var errUnhealthy = errors.New("the daemon does not do all of its work")

func (c *statusCommand) Run(e *env) error {
	client, err := c.openDaemon(e)
	if err != nil {
		return err
	}
	var answer json.RawMessage
	if err := client.fetchJSON(e.ctx, "/api/v1/status", &answer); err != nil {
		return err
	}
	var s daemon.Status
	if err := json.Unmarshal(answer, &s); err != nil {
		return fmt.Errorf("read the answer of the daemon at %s: %w", client.addr, err)
	}
	if c.JSON {
		err = printJSON(e.stdout, answer)
	} else {
		err = printStatus(e.stdout, &s)
	}
	if err == nil && len(s.Health.Failures) > 0 {
		err = errUnhealthy
	}
	return err
}

func printStatus(w io.Writer, s *daemon.Status) error {
	a := &s.Agents
	fmt.Fprintf(w, "pulse %s on node %s, %s for %s\n", printable.Only(s.Version), printable.Only(s.Node), printable.Only(string(s.State)),
		formatAge(time.Duration(s.Uptime)*time.Second))
	fmt.Fprintf(w, "agents: %d active, %d disconnected (%d of them dormant), %d pending, %d never connected\n",
		a.Active, a.Disconnected, a.Dormant, a.Pending, a.NeverConnected)
	fmt.Fprintf(w, "nats:   %s\n", printable.Only(string(s.NATS.State)))
	if s.Outbox != nil {
		fmt.Fprintf(w, "waits:  %s to be forwarded\n", plural.CountNoun(s.Outbox.Status.Backlog+s.Outbox.Telemetry.Backlog, "message"))
	}
	for _, text := range s.Health.Failures {
		fmt.Fprintf(w, "FAILURE %s\n", printable.Only(text))
	}
	for _, text := range s.Health.Warnings {
		fmt.Fprintf(w, "warning %s\n", printable.Only(text))
	}
	var err error
	if len(s.Health.Failures)+len(s.Health.Warnings) == 0 {
		_, err = fmt.Fprintln(w, "all is well")
	}
	return err
}
