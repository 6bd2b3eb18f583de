package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/wazuh-pulse/pulse/internal/console"
	"github.com/wazuh-pulse/pulse/internal/printable"
)

type agentsCommand struct {
	settingsFlag
	Status  string `placeholder:"STATUS" help:"Only agents in this status: active, disconnected, pending or never_connected."`
	Name    string `placeholder:"PATTERN" help:"Only agents with such a name, such as 'web-*'."`
	Address string `placeholder:"PATTERN" help:"Only agents with such an address, such as '10.1.*'."`
	Group   string `placeholder:"PATTERN" help:"Only agents of such an <agent_group>."`
	JSON    bool   `help:"Print the daemon's own JSON."`
}

func (*agentsCommand) Help() string {
	return `Asks the running daemon on this host, at <pulse><http> of its settings. SINCE is how long the agent has been in its status,
SEEN how long ago its last sign of life was, MISSED the unanswered keep-alives in a row, RTT the last round trip.

    pulse agents --status disconnected
    pulse agents --json | jq -r '.agents[] | select(.missed > 0) | .name'`
}

// statuses are by their number in messages.
var statuses = []string{"active", "disconnected", "pending", "never_connected"}

func (c *agentsCommand) Run(e *env) error {
	if c.Status != "" && !slices.Contains(statuses, c.Status) {
		return usageError{fmt.Errorf("--status %q: want %s", c.Status, strings.Join(statuses, ", "))}
	}
	loaded, err := c.load(e)
	if err != nil {
		return err
	}
	daemon, err := openConsole(&loaded.Pulse)
	if err != nil {
		return err
	}
	fleet, err := c.collect(e.ctx, daemon)
	if err != nil {
		return err
	}
	if c.JSON {
		text := json.NewEncoder(e.stdout)
		text.SetIndent("", " ")
		return text.Encode(fleet)
	}
	return printAgents(e.stdout, fleet, time.Now())
}

// collect asks page by page.
func (c *agentsCommand) collect(ctx context.Context, daemon *consoleClient) (*console.Agents, error) {
	whole := &console.Agents{Agents: []console.Agent{}}
	query := url.Values{"limit": {"1000"}}
	for name, value := range map[string]string{"status": c.Status, "name": c.Name, "address": c.Address, "group": c.Group} {
		if value != "" {
			query.Set(name, value)
		}
	}
	for {
		var page console.Agents
		if err := daemon.ask(ctx, "/api/v1/agents?"+query.Encode(), &page); err != nil {
			return nil, err
		}
		whole.Node, whole.Total, whole.Agents = page.Node, page.Total, append(whole.Agents, page.Agents...)
		if page.Next == "" {
			return whole, nil
		}
		query.Set("cursor", page.Next)
	}
}

func printAgents(w io.Writer, fleet *console.Agents, now time.Time) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tNAME\tIP\tSTATUS\tREASON\tSINCE\tSEEN\tMISSED\tRTT")
	for i := range fleet.Agents {
		a := &fleet.Agents[i]
		seen, rtt, reason := "never", "-", "-"
		if a.LastSeen != nil {
			seen = ago(now.Sub(*a.LastSeen))
		}
		if a.RTT != nil {
			rtt = fmt.Sprintf("%.1fms", *a.RTT)
		}
		if a.Reason != "" {
			reason = a.Reason
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\n", printable.Only(a.ID), printable.Only(a.Name), printable.Only(a.IP), printable.Only(a.Status), printable.Only(reason), ago(now.Sub(a.Since)), seen, a.Missed, rtt)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, counted(len(fleet.Agents), "agent"))
	return err
}

func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// ago writes a duration with the precision that a person wants.
func ago(d time.Duration) string {
	switch {
	case d < 0: // the clocks of two readings
		return "0s"
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return d.Round(time.Second).String()
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd", int(d.Hours())/24)
}
