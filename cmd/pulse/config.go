package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/alertlevel"
	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/daemon"
	"github.com/wazuh-pulse/pulse/internal/hint"
	"github.com/wazuh-pulse/pulse/internal/plural"
)

type configCommand struct {
	Check configCheckCommand `cmd:"" help:"Check settings and print what they mean."`
	Print configPrintCommand `cmd:"" help:"Print every setting in effect, and where it came from."`
}

func (*configCommand) Help() string {
	return `Settings are elements in the style of ossec.conf. Each has a default, so an empty file works.

    pulse config print > pulse.conf   # every setting with its default, to start from
    pulse config check pulse.conf     # after editing`
}

type configCheckCommand struct {
	settingsFlag
	File []string `arg:"" optional:"" name:"file" help:"Settings files, as with --config."`
	JSON bool     `help:"Print one JSON object."`
}

func (*configCheckCommand) Help() string {
	return `Reads the settings and the files they name as the daemon does, and starts nothing. Each mistake is printed with its file
and line, followed by a hint what to do about it; the exit code is then 78.

    pulse config check /var/ossec/etc/pulse.conf

A manager's own ossec.conf may come first: its <remote> and its <cluster><node_name> are used.

    pulse config check /var/ossec/etc/ossec.conf /var/ossec/etc/pulse.conf`
}

func (c *configCheckCommand) Run(e *env) error {
	c.Config = append(c.Config, c.File...)
	loaded, err := c.loadAndCheckFiles(e)
	if c.JSON {
		return cmp.Or(printJSON(e.stdout, newConfigVerdict(loaded, err)), err)
	}
	if err != nil {
		return err
	}
	verdict := "good"
	if n := len(loaded.Warnings); n > 0 {
		verdict = plural.CountNoun(n, "warning")
	}
	fmt.Fprintf(e.stdout, "%s: %s\n", loaded.DescribeFiles(), verdict)
	for _, s := range loaded.Settings() {
		if s.Source != "default" {
			fmt.Fprintf(e.stdout, "  %s = %s  (%s)\n", s.Path, s.Value, s.DescribeSource())
		}
	}
	fmt.Fprintln(e.stdout, describeSettings(&loaded.Config))
	for _, note := range listConfigNotes(&loaded.Config) {
		fmt.Fprintln(e.stdout, note)
	}
	return nil
}

func listConfigNotes(c *config.Config) []string {
	return slices.Concat(describeSilentAlerts(c), describeUnusedGroups(c), describeBrokenKeys(c))
}

// configVerdict is the outcome of a check, in JSON.
type configVerdict struct {
	Good     bool            `json:"good"`
	Problems []configProblem `json:"problems"` // with one the daemon does not start
	Warnings []configProblem `json:"warnings"`
	Settings []configSetting `json:"settings"` // that are no default
	Notes    []string        `json:"notes"`    // what they mean, as lines for people
}

type configProblem struct {
	Problem string `json:"problem"`
	Hint    string `json:"hint,omitempty"`
}

type configSetting struct {
	Path   string `json:"path"`
	Value  string `json:"value"`
	Source string `json:"source"` // file and line, or default

	Replaces string `json:"replaces,omitempty"` // where an earlier file has another value
}

// newConfigVerdict returns the outcome for settings, or for what is wrong with them.
func newConfigVerdict(loaded *config.Loaded, err error) *configVerdict {
	v := &configVerdict{Good: err == nil, Problems: []configProblem{}, Warnings: []configProblem{}, Settings: []configSetting{}, Notes: []string{}}
	if err != nil {
		for _, part := range hint.Split(err) {
			v.Problems = append(v.Problems, configProblem(part))
		}
		return v
	}
	for _, w := range loaded.Warnings {
		for _, part := range hint.Split(w) {
			v.Warnings = append(v.Warnings, configProblem(part))
		}
	}
	for _, s := range loaded.Settings() {
		if s.Source != "default" {
			v.Settings = append(v.Settings, configSetting{s.Path, s.Value, s.Source, s.Replaces})
		}
	}
	v.Notes = append(strings.Split(describeSettings(&loaded.Config), "\n"), listConfigNotes(&loaded.Config)...)
	return v
}

func describeSettings(c *config.Config) string {
	var b strings.Builder
	attaches, err := daemon.Attaches(c)
	switch {
	case err != nil:
		fmt.Fprintf(&b, "Whether a Wazuh manager is in %s is not known: %v.\n", c.Pulse.Home, err)
	case attaches:
		fmt.Fprintf(&b, "Agents are those of the Wazuh manager in %s.\n", c.Pulse.Home)
	default:
		if c.Pulse.Link == "auto" {
			fmt.Fprintf(&b, "No Wazuh manager is in %s: Pulse is the agents' manager itself.\n", c.Pulse.Home)
		}
		fmt.Fprintf(&b, "Agents of %s connect to %v port %d, %s.\n", c.Pulse.ClientKeys, c.Remote.LocalIP, c.Remote.Port, protocolNames(&c.Remote))
	}
	if k := c.KeepAlive; k.Enabled {
		fmt.Fprintf(&b, "Each gets a keep-alive (%s) every %v; %d missed in a row, or %v of silence, and it is disconnected.\n",
			k.Method, k.Interval, k.MaxMissed, k.Timeout)
	} else {
		fmt.Fprintf(&b, "They get no keep-alives; after %v of silence one is disconnected.\n", k.Timeout)
	}
	switch {
	case !c.NATS.Enabled:
		b.WriteString("Nothing is published on NATS.")
	case c.NATS.ServerURL != "":
		fmt.Fprintf(&b, "Messages on %s.> are forwarded to the NATS server of <server_url>.", c.NATS.SubjectPrefix)
	default:
		fmt.Fprintf(&b, "Messages on %s.> are at nats://%s.", c.NATS.SubjectPrefix, c.NATS.Listen)
	}
	return b.String()
}

// describeSilentAlerts lists the agents whose silence causes no alert, which may be intended.
func describeSilentAlerts(c *config.Config) (notes []string) {
	if !c.NATS.Enabled {
		return nil
	}
	k := &c.KeepAlive
	level, threshold := silenceLevel(k, k.Interval, k.Timeout, k.MaxMissed), c.NATS.HighAlertThreshold
	note := func(who string, level, threshold int) {
		if level < threshold {
			notes = append(notes, fmt.Sprintf("Note: %san agent that is disconnected for its silence has alert level %d, below the <high_alert_threshold> %d: "+
				"a status change is published, but no alert.", who, level, threshold))
		}
	}
	note("", level, threshold)
	for i := range c.Groups {
		g := &c.Groups[i]
		if own := silenceLevel(k, g.Interval, g.Timeout, g.MaxMissed); own != level || g.HighAlertThreshold != threshold {
			note(fmt.Sprintf("<agent_group name=%q>: ", g.Name), own, g.HighAlertThreshold)
		}
	}
	return notes
}

// describeUnusedGroups lists the groups of agents that select by Wazuh groups where none are known.
func describeUnusedGroups(c *config.Config) (notes []string) {
	if attaches, err := daemon.Attaches(c); attaches || err != nil {
		return nil
	}
	for _, name := range daemon.ListGroupsByWazuhGroup(c) {
		notes = append(notes, fmt.Sprintf("Note: <agent_group name=%q>: <wazuh_groups> selects no agent, because Pulse is their manager here "+
			"and a Wazuh manager alone knows their groups. Select them by <ids>, <names> or <addresses>.", name))
	}
	return notes
}

// describeBrokenKeys lists the lines of client.keys that are skipped, where Pulse reads them.
func describeBrokenKeys(c *config.Config) (notes []string) {
	if attaches, err := daemon.Attaches(c); attaches || err != nil {
		return nil
	}
	_, problems, err := clientkeys.ReadFile(c.Pulse.ClientKeys)
	if err != nil {
		return nil // it was read a moment ago
	}
	for _, p := range problems {
		notes = append(notes, fmt.Sprintf("Note: %s: %s.", c.Pulse.ClientKeys, p.Describe()))
	}
	return notes
}

// silenceLevel returns the usual alert level of an agent that is disconnected for its
// silence. With a method without answers, a keep-alive is missed each interval until the
// timeout.
func silenceLevel(k *config.KeepAlive, interval, timeout time.Duration, maxMissed int) int {
	switch {
	case !k.Enabled:
		maxMissed = 0
	case k.Method != "request":
		maxMissed = min(maxMissed, int(timeout/interval)-1)
	}
	return alertlevel.OfStatusChange(alertlevel.Change{Reason: event.MissedKeepAlives, Missed: maxMissed})
}

func protocolNames(r *config.Remote) string {
	switch {
	case r.TCP && r.UDP:
		return "tcp and udp"
	case r.UDP:
		return "udp"
	}
	return "tcp"
}

type configPrintCommand struct {
	settingsFlag
	File []string `arg:"" optional:"" name:"file" help:"Settings files, as with --config."`
	JSON bool     `help:"Print one JSON object."`
}

func (*configPrintCommand) Help() string {
	return `Prints a settings file with every setting in effect, and in a comment where it came from: a file and line, or the
default.

    pulse config print
    pulse config print pulse.conf | grep -v default   # only what the file says
    pulse config print --json | jq -r '.settings[] | select(.path == "ossec_config/pulse/node_name") | .value'`
}

func (c *configPrintCommand) Run(e *env) error {
	c.Config = append(c.Config, c.File...)
	loaded, err := c.loadSettings(e)
	if err != nil {
		return err
	}
	if c.JSON {
		shown := []configSetting{}
		for _, s := range loaded.Settings() {
			shown = append(shown, configSetting{s.Path, s.Value, s.Source, s.Replaces})
		}
		return printJSON(e.stdout, struct {
			Settings []configSetting `json:"settings"`
		}{shown})
	}
	return loaded.WriteXML(e.stdout)
}
