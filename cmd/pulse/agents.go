package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/wazuh-pulse/pulse/internal/plural"
	"github.com/wazuh-pulse/pulse/internal/printable"
	"github.com/wazuh-pulse/pulse/internal/view"
)

type agentsCommand struct {
	settingsFlag
	Status  string `enum:",${statuses}" default:"" placeholder:"STATUS" help:"Only agents in this status: active, disconnected, pending or never_connected."`
	Dormant string `enum:",yes,no" default:"" placeholder:"yes|no" help:"Only agents that have been away for <dormant_after> or longer; with no, only the others."`
	Name    string `placeholder:"PATTERN" help:"Only agents with such a name, such as 'web-*'."`
	Address string `placeholder:"PATTERN" help:"Only agents with such an address, such as '10.1.*'."`
	Group   string `placeholder:"PATTERN" help:"Only agents of such an <agent_group>, or of such a Wazuh group."`
	Node    string `complete:"nodes" placeholder:"PATTERN" help:"Only agents of such a node of the cluster, such as 'node0*'."`
	OS      string `name:"os" placeholder:"TEXT" help:"Only agents whose system has this in its name and version, such as ubuntu, or matches a pattern, such as 'ubuntu 22.*'."`
	Version string `name:"agent-version" placeholder:"VERSION" help:"Only agents of this version, such as 4.9, which includes 4.9.2, or '4.1?.*'."`
	JSON    bool   `help:"Print the daemon's own JSON."`
}

func (*agentsCommand) Help() string {
	return `Reads from the running daemon on this host, at <pulse><http> of its settings. SINCE is how long the agent has been in its status,
SEEN how long ago it was last seen, MISSED the unanswered keep-alives in a row, RTT the last round trip, GROUPS the groups that
its Wazuh manager has it in. In a cluster the agents are those of all nodes, and NODE is which has it, or had it last; with ~ it is
seen through its manager's database only, and late. Of other nodes' agents, SEEN, MISSED and RTT are not known here.

    pulse agents --status disconnected --dormant no
    pulse agents --group web --os ubuntu
    pulse agents --json | jq -r '.agents[] | select(.missed > 0) | .name'`
}

func (c *agentsCommand) Run(e *env) error {
	daemon, err := c.openDaemon(e)
	if err != nil {
		return err
	}
	fleet, err := c.fetchAllPages(e.ctx, daemon)
	if err != nil {
		return err
	}
	if len(fleet.Agents) == 0 && c.Node != "" && !view.IsPattern(c.Node) {
		if err := c.checkNodeName(e.ctx, daemon); err != nil {
			return err
		}
	}
	if c.JSON {
		return printJSON(e.stdout, fleet)
	}
	return printAgents(e.stdout, fleet, time.Now())
}

// checkNodeName returns an error for a node that the daemon does not know.
func (c *agentsCommand) checkNodeName(ctx context.Context, daemon *consoleClient) error {
	var nodes view.NodeList
	if err := daemon.fetchJSON(ctx, "/api/v1/nodes", &nodes); err != nil {
		return err
	}
	var names []string
	for i := range nodes.Nodes {
		if names = append(names, nodes.Nodes[i].Name); nodes.Nodes[i].Name == c.Node {
			return nil
		}
	}
	return refuseChoice("--node", c.Node, names)
}

func (c *agentsCommand) fetchAllPages(ctx context.Context, daemon *consoleClient) (*view.AgentPage, error) {
	whole := &view.AgentPage{Agents: []view.LocatedAgent{}}
	query := url.Values{"limit": {"1000"}}
	for name, value := range map[string]string{"status": c.Status, "dormant": c.Dormant, "name": c.Name, "address": c.Address, "group": c.Group, "node": c.Node, "os": c.OS, "version": c.Version} {
		if value != "" {
			query.Set(name, value)
		}
	}
	for {
		var page view.AgentPage
		if err := daemon.fetchJSON(ctx, "/api/v1/agents?"+query.Encode(), &page); err != nil {
			return nil, err
		}
		whole.Node, whole.Total, whole.Agents = page.Node, page.Total, append(whole.Agents, page.Agents...)
		if page.Next == "" {
			return whole, nil
		}
		query.Set("cursor", page.Next)
	}
}

func printAgents(w io.Writer, fleet *view.AgentPage, now time.Time) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	clustered := slices.ContainsFunc(fleet.Agents, func(a view.LocatedAgent) bool { return a.Node != "" })
	node := ""
	if clustered {
		node = "NODE\t"
	}
	fmt.Fprintln(table, "ID\tNAME\tIP\t"+node+"STATUS\tREASON\tSINCE\tSEEN\tMISSED\tRTT\tVERSION\tSYSTEM\tGROUPS")
	for i := range fleet.Agents {
		a := &fleet.Agents[i]
		seen, rtt := "never", "-"
		if clustered {
			node = formatNode(&a.Agent) + "\t"
		}
		if clustered && a.Node != fleet.Node {
			seen = "-" // that node knows
		}
		if a.LastSeen != nil {
			seen = formatAge(now.Sub(*a.LastSeen))
		}
		if a.RTT != nil {
			rtt = fmt.Sprintf("%.1fms", *a.RTT)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n", printable.Only(a.ID), orDash(a.Name), printable.Only(a.IP), node, printable.Only(a.Status), orDash(a.Reason),
			formatAge(now.Sub(a.Since)), seen, a.Missed, rtt, orDash(a.AgentVersion), orDash(a.OSName+" "+a.OSVersion), orDash(strings.Join(a.WazuhGroups, ",")))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, plural.CountNoun(len(fleet.Agents), "agent"))
	return err
}

// formatNode returns the node that has an agent, with ~ if it is seen coarsely.
func formatNode(a *view.Agent) string {
	if a.Coarse {
		return orDash(a.Node) + "~"
	}
	return orDash(a.Node)
}

// orDash returns a text that is printable, "-" if there is none.
func orDash(text string) string { return cmp.Or(printable.Only(strings.TrimSpace(text)), "-") }
