package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/wazuh-pulse/pulse/internal/hint"
	"github.com/wazuh-pulse/pulse/internal/plural"
	"github.com/wazuh-pulse/pulse/internal/printable"
	"github.com/wazuh-pulse/pulse/internal/view"
)

type agentCommand struct {
	settingsFlag
	ID   string `arg:"" complete:"agents" help:"The agent's ID, such as 001."`
	Ping bool   `help:"Send it a keep-alive first, and wait for the answer."`
	JSON bool   `help:"Print the daemon's own JSON, one object."`
}

func (*agentCommand) Help() string {
	return `Reads from the running daemon on this host, at <pulse><http> of its settings, all that it knows of one agent: its status and since
when, what the last loss was decided by, and its last changes.

    pulse agent 001
    pulse agent 001 --ping
    pulse agent 001 --json | jq '.changes[0]'`
}

// agentDetails is the part of /api/v1/agents/ID that is printed.
type agentDetails struct {
	Agent   view.LocatedAgent `json:"agent"`
	Changes []view.Event      `json:"changes"` // newest first
}

func (c *agentCommand) Run(e *env) error {
	if err := checkAgentID(c.ID); err != nil {
		return err
	}
	client, err := c.openDaemon(e)
	if err != nil {
		return err
	}
	if c.Ping {
		out := e.stdout
		if c.JSON {
			out = io.Discard // it is among the round trips
		}
		if err := sendPing(e, out, client, c.ID, false); err != nil {
			fmt.Fprintln(e.stderr, errorLines("pulse: warning: ", err))
		}
	}
	var answer json.RawMessage
	if err := client.fetchJSON(e.ctx, "/api/v1/agents/"+url.PathEscape(c.ID), &answer); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e.stdout, answer)
	}
	var details agentDetails
	if err := json.Unmarshal(answer, &details); err != nil {
		return fmt.Errorf("read the answer of the daemon at %s: %w", client.addr, err)
	}
	return printAgent(e.stdout, &details, time.Now())
}

func printAgent(w io.Writer, d *agentDetails, now time.Time) error {
	a := &d.Agent
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value = strings.TrimSpace(printable.Only(value)); value != "" {
			fmt.Fprintf(table, "%s\t%s\n", name, value)
		}
	}
	row("agent", a.ID+" "+a.Name)
	row("address", a.IP)
	row("node", a.Node)
	row("status", fmt.Sprintf("%s for %s, since %s", a.Status, formatAge(now.Sub(a.Since)), a.Since.Local().Format(time.DateTime)))
	row("reason", a.Reason)
	if a.LastSeen != nil {
		row("last seen", formatAge(now.Sub(*a.LastSeen))+" ago")
	}
	if a.RTT != nil {
		row("round trip", fmt.Sprintf("%.1f ms", *a.RTT))
	}
	row("missed", fmt.Sprint(a.Missed))
	row("system", a.OSName+" "+a.OSVersion)
	row("version", a.AgentVersion)
	row("groups", strings.Join(a.WazuhGroups, ", "))
	row("settings of", a.Group)
	for mark, is := range map[string]bool{"silenced": a.Silenced, "dormant": a.Dormant, "two machines have its key": a.Duplicated} {
		if is {
			row("note", mark)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for i := range d.Changes {
		change := &d.Changes[i]
		fmt.Fprintf(w, "%s  %s\n", change.At.Local().Format(time.DateTime), printable.Only(change.DescribeChange()))
		if evidence := strings.Join(change.Confidence, ", "); evidence != "" {
			fmt.Fprintf(w, "%21s%s\n", "", printable.Only(strings.TrimSuffix(evidence+", "+change.Technique, ", ")))
		}
	}
	_, err := fmt.Fprintln(w, plural.CountNoun(len(d.Changes), "change"))
	return err
}

type pingCommand struct {
	settingsFlag
	ID   string `arg:"" complete:"agents" help:"The agent's ID, such as 001."`
	JSON bool   `help:"Print the daemon's own JSON, one object."`
}

func (*pingCommand) Help() string {
	return `Has the running daemon on this host send the agent a keep-alive at once, and waits for the answer, 10 seconds at most. The exit
code is 1 if there is none.

    pulse ping 001`
}

func (c *pingCommand) Run(e *env) error {
	if err := checkAgentID(c.ID); err != nil {
		return err
	}
	client, err := c.openDaemon(e)
	if err != nil {
		return err
	}
	return sendPing(e, e.stdout, client, c.ID, c.JSON)
}

var agentID = regexp.MustCompile(`^[0-9]{3,8}$`)

// checkAgentID refuses what is no agent's ID, such as a name.
func checkAgentID(id string) error {
	if agentID.MatchString(id) {
		return nil
	}
	advice := ""
	if harmless.MatchString(id) && strings.Trim(id, "0123456789") != "" {
		advice = fmt.Sprintf("pulse agents --name '%s' shows the ID", id)
	}
	return usageError{hint.Add(fmt.Errorf("agent %q: want its ID, such as 001", id), advice)}
}

func sendPing(e *env, w io.Writer, client *consoleClient, id string, asJSON bool) error {
	var answer view.PingAnswer
	if err := client.changeJSON(e.ctx, http.MethodPost, "/api/v1/agents/"+url.PathEscape(id)+"/ping", nil, &answer); err != nil {
		return err
	}
	if asJSON {
		return printJSON(w, &answer)
	}
	_, err := fmt.Fprintf(w, "agent %s (%s) has answered after %.1f ms\n", printable.Only(answer.ID), printable.Only(answer.Name), answer.RTT)
	return err
}
