package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/wazuh-pulse/pulse/internal/console"
)

type agentsCommand struct {
	settingsFlag
	Status string `placeholder:"STATUS" help:"Only agents in this status: active, disconnected, pending or never_connected."`
	JSON   bool   `help:"Print the daemon's own JSON."`
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
	body, err := askConsole(e.ctx, loaded.Pulse.HTTP, "/api/agents?status="+url.QueryEscape(c.Status))
	if err != nil {
		return err
	}
	defer body.Close()
	if c.JSON {
		_, err = io.Copy(e.stdout, body)
		return err
	}
	var fleet console.Agents
	if err := json.NewDecoder(body).Decode(&fleet); err != nil {
		return fmt.Errorf("read the answer of the daemon at %s: %w", loaded.Pulse.HTTP, err)
	}
	return printAgents(e.stdout, &fleet, time.Now())
}

// consoleClient goes straight to the daemon, whatever proxy the environment
// names, and does not wait for one that hangs.
var consoleClient = http.Client{Transport: &http.Transport{
	DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
	ResponseHeaderTimeout: 10 * time.Second,
}}

// askConsole returns what the console at addr answers, to be closed.
func askConsole(ctx context.Context, addr, path string) (io.ReadCloser, error) {
	if addr == "" {
		return nil, usageError{errors.New("the console is off: give <pulse><http> an address, such as 127.0.0.1:8420, and restart the daemon")}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		return nil, fmt.Errorf("ask the daemon at %s (<pulse><http>): %w", addr, err)
	}
	request.Host = "localhost" // the console answers to no name but this
	answer, err := consoleClient.Do(request)
	switch {
	case ctx.Err() != nil && err != nil:
		return nil, errors.New("interrupted")
	case err != nil:
		return nil, fmt.Errorf("ask the daemon at %s (<pulse><http>): %w; does it run, and with these settings?", addr, bare(err))
	case answer.StatusCode != http.StatusOK:
		answer.Body.Close()
		return nil, fmt.Errorf("the daemon at %s (<pulse><http>) answers %s: is that Pulse?", addr, answer.Status)
	}
	return answer.Body, nil
}

// bare drops what an HTTP client's error repeats of the address.
func bare(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
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
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\n", a.ID, a.Name, a.IP, a.Status, reason, ago(now.Sub(a.Since)), seen, a.Missed, rtt)
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
