package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/wazuh-pulse/pulse/internal/console"
)

type agentsCommand struct {
	settingsFlag
	Status string `enum:",active,disconnected,pending,never_connected" default:"" placeholder:"STATUS" help:"Only agents in this status: active, disconnected, pending or never_connected."`
	JSON   bool   `help:"Print the daemon's own JSON."`
}

func (*agentsCommand) Help() string {
	return `Asks the running daemon on this host, at <pulse><http> of its settings. SINCE is how long the agent has been in its status,
SEEN how long ago its last sign of life was, MISSED the unanswered keep-alives in a row, RTT the last round trip.`
}

func (c *agentsCommand) Run(e *env) error {
	loaded, err := c.load()
	if err != nil {
		return err
	}
	if loaded.Pulse.HTTP == "" {
		return usageError{fmt.Errorf("the console is off: give <pulse><http> an address, such as 127.0.0.1:8420, and restart the daemon")}
	}
	address := "http://" + loaded.Pulse.HTTP + "/api/agents?status=" + url.QueryEscape(c.Status)
	request, err := http.NewRequestWithContext(e.ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("ask the daemon at %s (<pulse><http>): %w; does it run, and with these settings?", loaded.Pulse.HTTP, unwrapURL(err))
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the daemon at %s answers %s", loaded.Pulse.HTTP, answer.Status)
	}
	if c.JSON {
		_, err = io.Copy(e.stdout, answer.Body)
		return err
	}
	var fleet console.Agents
	if err := json.NewDecoder(answer.Body).Decode(&fleet); err != nil {
		return fmt.Errorf("the answer of %s: %w", loaded.Pulse.HTTP, err)
	}
	return printAgents(e.stdout, &fleet, time.Now())
}

// unwrapURL drops what an HTTP client's error repeats of the address.
func unwrapURL(err error) error {
	if u, ok := err.(*url.Error); ok {
		return u.Err
	}
	return err
}

func printAgents(w io.Writer, fleet *console.Agents, now time.Time) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tNAME\tIP\tSTATUS\tREASON\tSINCE\tSEEN\tMISSED\tRTT")
	for i := range fleet.Agents {
		a := &fleet.Agents[i]
		seen, rtt := "never", "-"
		if a.LastSeen != nil {
			seen = ago(now.Sub(*a.LastSeen))
		}
		if a.RTT != nil {
			rtt = fmt.Sprintf("%.1fms", *a.RTT)
		}
		reason := a.Reason
		if reason == "" {
			reason = "-"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\n", a.ID, a.Name, a.IP, a.Status, reason, ago(now.Sub(a.Since)), seen, a.Missed, rtt)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d agents\n", len(fleet.Agents))
	return err
}

// ago writes a duration with the precision that a person wants.
func ago(d time.Duration) string {
	switch {
	case d < 0:
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
