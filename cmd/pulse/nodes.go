package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/wazuh-pulse/pulse/internal/printable"
	"github.com/wazuh-pulse/pulse/internal/view"
)

type nodesCommand struct {
	settingsFlag
	JSON bool `help:"Print the daemon's own JSON."`
}

func (*nodesCommand) Help() string {
	return `Reads from the running daemon on this host, at <pulse><http> of its settings, which nodes the cluster has as that daemon knows
them; outside a cluster there is one. AGENTS is how many agents a node has, SINCE how long it has been in its STATE: up, lost,
cut_off (this node, from the others) or unknown.

    pulse nodes
    pulse nodes --json | jq -r '.nodes[] | select(.state == "lost") | .name'`
}

func (c *nodesCommand) Run(e *env) error {
	daemon, err := c.openDaemon(e)
	if err != nil {
		return err
	}
	var list view.NodeList
	if err := daemon.fetchJSON(e.ctx, "/api/v1/nodes", &list); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e.stdout, &list)
	}
	return printNodes(e.stdout, &list, time.Now())
}

func printNodes(w io.Writer, list *view.NodeList, now time.Time) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tROLE\tVERSION\tAGENTS\tSINCE\tSTATE")
	for i := range list.Nodes {
		n := &list.Nodes[i]
		since := "-"
		if n.Since != nil {
			since = formatAge(now.Sub(*n.Since))
		}
		state := printable.Only(n.State)
		if n.Coarse {
			state += ", its manager works"
		}
		if n.Self && list.Cluster {
			state += " (this one)"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%s\n", printable.Only(n.Name), orDash(n.Role), orDash(n.Version), n.Agents, since, state)
	}
	return table.Flush()
}
