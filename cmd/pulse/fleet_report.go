package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/audittrail"
	"github.com/wazuh-pulse/pulse/internal/plural"
	"github.com/wazuh-pulse/pulse/internal/printable"
	"github.com/wazuh-pulse/pulse/internal/report"
)

type reportCommand struct {
	settingsFlag
	Dirs     []string `arg:"" optional:"" name:"dir" type:"path" help:"Directories of audit logs, of one node each. Default: audit in <pulse><state_dir> of the settings."`
	Since    string   `default:"30d" placeholder:"TIME" help:"From here on: 2026-01-02T15:04:05Z, '2026-01-02 15:04', 2026-01-02, 15:04 (today), or how long ago, such as 90m or 30d. Default: 30d."`
	Until    string   `placeholder:"TIME" help:"Up to here, in the same forms. Default: now."`
	By       string   `enum:"agent,group,network,node" default:"agent" help:"What the rows are about: agent, group (of Wazuh), network or node."`
	Expected string   `placeholder:"FILE" help:"The agents that should be there, such as an export of the CMDB: a CSV file with a column called name or hostname, or a name a line."`
	CSV      bool     `xor:"format" help:"Print the rows as CSV."`
	JSON     bool     `xor:"format" help:"Print one JSON object."`
	HTML     bool     `xor:"format" help:"Print a page that stands alone, to be read or printed."`
}

func (*reportCommand) Help() string {
	return `Reads the audit log, which has every change of status: how available the agents were, what was lost and why, how soon that was
known, and which agents flap. From the running daemon on this host, if it answers, come the agents that have never connected, and
those that have had no change since long ago. Times in which Pulse did not run count neither as available nor as away.

    pulse report --since 30d --by group
    pulse report --since 2026-11-01 --until 2026-12-01 --html > november.html
    pulse report --expected cmdb.csv --json | jq .missing

Of a cluster, copy the nodes' logs to one place, or each node reports on the agents that it has had:

    pulse report /mnt/node1/audit /mnt/node2/audit --by node

It does not verify the logs: pulse audit verify does.`
}

func (c *reportCommand) Run(e *env) error {
	now := time.Now()
	from, until, err := c.parsePeriod(now)
	if err != nil {
		return usageError{err}
	}
	b := report.NewBuilder(from, until)
	if c.Expected != "" {
		names, err := readExpectedFile(c.Expected)
		if err != nil {
			return err
		}
		b.SetExpected(names)
	}
	loaded, err := c.loadSettings(e)
	if err != nil {
		return err
	}
	if len(c.Dirs) == 0 {
		c.Dirs = []string{audittrail.Dir(loaded.Pulse.StateDir)}
	}
	for _, dir := range c.Dirs {
		if err := b.ReadAuditLog(dir); err != nil {
			return err
		}
	}
	if err := c.readFleet(e, b); err != nil {
		if c.Expected != "" {
			return fmt.Errorf("compare with --expected: %w", err)
		}
		fmt.Fprintln(e.stderr, errorLines("pulse: warning: without the present fleet: ", err))
	}
	return c.print(e.stdout, b.Report(report.By(c.By)))
}

func (c *reportCommand) parsePeriod(now time.Time) (from, until time.Time, err error) {
	if from, err = parseTime(c.Since, now); err != nil {
		return from, until, fmt.Errorf("--since %q: %w", c.Since, err)
	}
	if until, err = parseTime(c.Until, now); err != nil {
		return from, until, fmt.Errorf("--until %q: %w", c.Until, err)
	}
	if until.IsZero() || until.After(now) {
		until = now
	}
	if !from.Before(until) {
		return from, until, errors.New("--since is not before --until")
	}
	return from, until, nil
}

func readExpectedFile(path string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read --expected: %w", err)
	}
	defer f.Close()
	names, err := report.ReadExpected(f)
	if err != nil {
		return nil, fmt.Errorf("read --expected: %s: %w", path, err)
	}
	return names, nil
}

// readFleet adds the present fleet, from the running daemon.
func (c *reportCommand) readFleet(e *env, b *report.Builder) error {
	client, err := c.openDaemon(e)
	if err != nil {
		return err
	}
	fleet, err := new(agentsCommand).fetchAllPages(e.ctx, client)
	if err != nil {
		return err
	}
	agents := make([]report.Agent, 0, len(fleet.Agents))
	for i := range fleet.Agents {
		a := &fleet.Agents[i]
		if status, ok := event.ParseStatus(a.Status); ok {
			agents = append(agents, report.Agent{ID: a.ID, Name: a.Name, IP: a.IP, Node: a.Node, Groups: a.WazuhGroups, Status: status, Since: a.Since})
		}
	}
	b.SetPresent(agents)
	return nil
}

func (c *reportCommand) print(w io.Writer, r *report.Report) error {
	switch {
	case c.JSON:
		inUTC := *r
		inUTC.From, inUTC.Until = r.From.UTC(), r.Until.UTC()
		return printJSON(w, &inUTC)
	case c.CSV:
		return r.WriteCSV(w)
	case c.HTML:
		return r.WriteHTML(w)
	}
	return printReport(w, r)
}

// rowsShown is how many rows the text has; the other formats have all.
const rowsShown = 20

func printReport(w io.Writer, r *report.Report) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "from\t%s\nuntil\t%s\n", r.From.Local().Format(time.DateTime), r.Until.Local().Format(time.DateTime))
	for _, node := range r.Nodes {
		fmt.Fprintf(t, "node\t%s\n", orDash(node))
	}
	fmt.Fprintf(t, "watched\t%.1f %% of the time\nagents\t%d\navailability\t%s\n", 100*r.Watched, r.Agents, percent(r.Availability))
	fmt.Fprintf(t, "losses\t%d, %s, %s\n", r.Losses, plural.CountNoun(r.Returns, "return"), plural.CountNoun(r.Alerts, "alert"))
	for _, reason := range slices.Sorted(maps.Keys(r.Reasons)) {
		fmt.Fprintf(t, "\t%d %s\n", r.Reasons[reason], orDash(string(reason)))
	}
	fmt.Fprintf(t, "outages\t%d\n", len(r.Outages))
	if d := &r.Detection; d.Count > 0 {
		fmt.Fprintf(t, "known after\t%s median, %s for 99 %%\n", report.FormatSeconds(d.P50), report.FormatSeconds(d.P99))
	}
	if d := &r.Away; d.Count > 0 {
		fmt.Fprintf(t, "back after\t%s median, %s at most\n", report.FormatSeconds(d.P50), report.FormatSeconds(d.Max))
	}
	fmt.Fprintf(t, "away now\t%d\n", len(r.AwayNow))
	if r.NeverConnected != nil {
		fmt.Fprintf(t, "never connected\t%d\n", len(r.NeverConnected))
	}
	if r.Missing != nil {
		fmt.Fprintf(t, "expected, not there\t%d\nthere, not expected\t%d\n", len(r.Missing), len(r.Unexpected))
	}
	fmt.Fprintf(t, "\t\n")
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(t, "%s\tNAME\tAGENTS\tAVAILABLE\tLOSSES\tAWAY\tLONGEST\n", map[report.By]string{report.ByAgent: "AGENT", report.ByGroup: "GROUP", report.ByNetwork: "NETWORK", report.ByNode: "NODE"}[r.By])
	for i := range r.Rows[:min(len(r.Rows), rowsShown)] {
		row := &r.Rows[i]
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%d\t%s\t%s\n", printable.Only(row.Key), orDash(row.Name), row.Agents, percent(row.Availability), row.Losses,
			report.FormatSeconds(row.Away), report.FormatSeconds(row.Longest))
	}
	if more := len(r.Rows) - rowsShown; more > 0 {
		fmt.Fprintf(t, "and %d more: --csv has all\n", more)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, name := range r.Missing {
		fmt.Fprintf(w, "missing: %s\n", printable.Only(name))
	}
	for _, a := range r.NeverConnected {
		if _, err := fmt.Fprintf(w, "never connected: %s %s\n", printable.Only(a.ID), orDash(a.Name)); err != nil {
			return err
		}
	}
	return nil
}

func percent(part *float64) string {
	if part == nil {
		return "-"
	}
	return fmt.Sprintf("%.3f %%", 100**part)
}
