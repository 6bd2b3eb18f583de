package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/wazuh-pulse/pulse/internal/plural"
	"github.com/wazuh-pulse/pulse/internal/printable"
	"github.com/wazuh-pulse/pulse/internal/silence"
)

type silenceCommand struct {
	Add  silenceAddCommand  `cmd:"" help:"Silence agents, once or every week."`
	List silenceListCommand `cmd:"" help:"List the silences."`
	End  silenceEndCommand  `cmd:"" help:"End a silence."`
}

func (*silenceCommand) Help() string {
	return `While an agent is silenced, its status changes are published, marked as silenced, and its alerts wait. When the silence ends,
there is an alert for an agent that is still away.

    pulse silence add --group web --for 2h --comment "patch night"
    pulse silence list
    pulse silence end 12`
}

// silencesPath is the path of the console's API.
const silencesPath = "/api/v1/silences"

// byFlag is who does something.
type byFlag struct {
	By string `placeholder:"NAME" help:"Who does this, for the list and the audit log. Default: the user who runs it."`
}

// nameOfUser returns who is given, or else the user who runs this.
func (f *byFlag) nameOfUser() string {
	if f.By != "" {
		return f.By
	}
	if name := os.Getenv("SUDO_USER"); name != "" && os.Geteuid() == 0 {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return fmt.Sprintf("uid %d", os.Geteuid())
}

type silenceAddCommand struct {
	settingsFlag
	byFlag
	Agent   *string `complete:"agents" placeholder:"LIST" help:"These agents: ids, ranges of ids, names or patterns, separated by commas: 001,010-020,'web-*'."`
	Group   *string `placeholder:"LIST" help:"Agents in one of these Wazuh groups: names or patterns, separated by commas."`
	Network *string `placeholder:"LIST" help:"Agents that were seen last in one of these networks, such as 10.1.0.0/16."`
	All     bool    `help:"All agents."`
	For     string  `placeholder:"TIME" help:"For so long from now: 90m, 2h, 1d."`
	Until   string  `placeholder:"TIME" help:"Until then: 2026-12-24T06:00:00Z, or in this host's time '2026-12-24 06:00' or 06:00."`
	Weekly  string  `placeholder:"SPEC" help:"Every week: days, hours and a time zone."`
	Comment string  `placeholder:"TEXT" help:"Why, for who reads the list."`
	JSON    bool    `help:"Print the daemon's own JSON."`
}

func (*silenceAddCommand) Help() string {
	return `Of --agent, --group and --network all that are given have to match; to silence every agent takes --all. One of --for,
--until and --weekly says when. A silence is kept over restarts. The running daemon on this host is asked, at <pulse><http> of its settings.

    pulse silence add --group web --for 2h --comment "patch night"
    pulse silence add --agent 'db-*,017' --network 10.1.0.0/16 --until '2026-12-24 06:00'
    pulse silence add --all --weekly "Sun 02:00-04:00 Europe/Berlin"

Days are Mon to Sun, several separated by commas, ranges such as Mon-Fri, or daily; hours that end before they begin end on
the next day (Fri 22:00-06:00). Clocks that are set forward or back make such a silence shorter or longer, so that it covers these
hours as they are shown. Silences that hold every week may also be in the settings, as <silence> of <pulse>.`
}

func (c *silenceAddCommand) Run(e *env) error {
	now := time.Now()
	asked := silence.Request{All: c.All, For: c.For, Weekly: c.Weekly, Comment: c.Comment, By: c.nameOfUser()}
	if err := c.setConditions(&asked); err != nil {
		return usageError{err}
	}
	if c.Until != "" {
		until, err := parseUntil(c.Until, now)
		if err != nil {
			return usageError{err}
		}
		asked.Until = until.Format(time.RFC3339)
	}
	if _, err := asked.NewSilence(now); err != nil {
		if errors.Is(err, silence.ErrSelectsNothing) {
			err = errors.New("it selects no agent: want --agent, --group or --network, or --all for every agent")
		}
		return usageError{errors.New(nameSilenceFlags(err.Error()))}
	}
	daemon, err := c.openDaemon(e)
	if err != nil {
		return err
	}
	var added silence.Added
	if err := daemon.changeJSON(e.ctx, http.MethodPost, silencesPath, asked, &added); err != nil {
		return err
	}
	if added.Agents == 0 {
		fmt.Fprintln(e.stderr, "pulse: warning: it selects no agent now")
	}
	if c.JSON {
		return printJSON(e.stdout, added)
	}
	s := &added.Silence
	_, err = fmt.Fprintf(e.stdout, "silence %s of %s, %s: %s now\n", s.ID, printable.Only(s.Selects()), describeTimes(s), plural.CountNoun(added.Agents, "agent"))
	return err
}

// silenceMember begins an error about one member of a request.
var silenceMember = regexp.MustCompile(`^(agent|group|network|for|until|weekly|comment)(: | ")`)

// nameSilenceFlags returns an error about a request with flags in the place of its members.
func nameSilenceFlags(text string) string {
	text = silenceMember.ReplaceAllString(text, "--$1$2")
	return strings.NewReplacer("want for, until or weekly", "want --for, --until or --weekly", "of for, until and weekly", "of --for, --until and --weekly").Replace(text)
}

// setConditions sets the conditions that are given. An empty one, as of a script's variable
// that is not set, is refused: without it more agents would be silenced than are meant.
func (c *silenceAddCommand) setConditions(r *silence.Request) error {
	for _, condition := range []struct {
		flag  string
		given *string
		set   *string
	}{{"--agent", c.Agent, &r.Agent}, {"--group", c.Group, &r.Group}, {"--network", c.Network, &r.Network}} {
		if condition.given == nil {
			continue
		}
		if *condition.given == "" {
			return fmt.Errorf("%s is empty: leave it out, if it is no condition", condition.flag)
		}
		*condition.set = *condition.given
	}
	return nil
}

// parseUntil parses a time: RFC 3339, or a date and time of this host's zone, or a time of
// the day that comes next.
func parseUntil(text string, now time.Time) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	if at, err := time.ParseInLocation("2006-01-02 15:04", text, time.Local); err == nil {
		return at, nil
	}
	clock, err := time.Parse("15:04", text)
	if err != nil {
		return time.Time{}, fmt.Errorf("--until %.40q: want a time such as %s, '2006-01-02 15:04' or 15:04", text, now.Add(2*time.Hour).Format(time.RFC3339))
	}
	local := now.In(time.Local)
	for day := 0; ; day++ {
		at := time.Date(local.Year(), local.Month(), local.Day()+day, clock.Hour(), clock.Minute(), 0, 0, time.Local)
		if at.After(now) {
			return at, nil
		}
	}
}

// describeTimes describes when a silence holds, in this host's time.
func describeTimes(s *silence.Shown) string {
	if s.Weekly != "" {
		return s.Weekly
	}
	return "until " + formatMinute(s.Until)
}

func formatMinute(t time.Time) string { return t.Local().Format("2006-01-02 15:04 MST") }

func printJSON(w io.Writer, value any) error {
	text := json.NewEncoder(w)
	text.SetIndent("", " ")
	return text.Encode(value)
}

type silenceListCommand struct {
	settingsFlag
	Over bool `help:"Also those that are over."`
	JSON bool `help:"Print the daemon's own JSON, with those that are over."`
}

func (*silenceListCommand) Help() string {
	return `NEXT is when an active silence ends, or a waiting one begins. Those of the settings have an ID that begins with settings: and are
ended there.

    pulse silence list
    pulse silence list --json | jq -r '.silences[] | select(.state == "active") | .id'`
}

func (c *silenceListCommand) Run(e *env) error {
	daemon, err := c.openDaemon(e)
	if err != nil {
		return err
	}
	var list silence.List
	if err := daemon.fetchJSON(e.ctx, silencesPath, &list); err != nil {
		return err
	}
	if list.Refused > 0 {
		fmt.Fprintf(e.stderr, "pulse: warning: damaged silences in the state directory, which do not hold: %d; see the log\n", list.Refused)
	}
	if c.JSON {
		return printJSON(e.stdout, list)
	}
	return printSilences(e.stdout, &list, c.Over)
}

func printSilences(w io.Writer, list *silence.List, over bool) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tSTATE\tAGENTS\tTIMES\tNEXT\tBY\tCOMMENT")
	waiting := 0
	for i := range list.Silences {
		s := &list.Silences[i]
		switch s.State {
		case silence.Waiting:
			waiting++
		case silence.Over:
			if !over {
				continue
			}
		}
		next := "-"
		if !s.Next.IsZero() {
			next = formatMinute(s.Next)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", printable.Only(s.ID), printable.Only(string(s.State)), printable.Only(s.Selects()), printable.Only(describeTimes(s)),
			next, orDash(s.By), orDash(s.Comment))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d active, %d waiting; %s silenced\n", list.Active, waiting, plural.CountNoun(list.Agents, "agent"))
	return err
}

type silenceEndCommand struct {
	settingsFlag
	byFlag
	ID   []string `arg:"" name:"id" complete:"silences" help:"The IDs of silences, as pulse silence list has them."`
	JSON bool     `help:"Print the daemon's own JSON, a line for each."`
}

func (*silenceEndCommand) Help() string {
	return `Agents that no other silence selects and that are still away have their alerts at once.

    pulse silence end 12
    pulse silence end 12 13 --by alice`
}

func (c *silenceEndCommand) Run(e *env) error {
	daemon, err := c.openDaemon(e)
	if err != nil {
		return err
	}
	for _, id := range c.ID {
		var ended silence.Shown
		path := silencesPath + "/" + url.PathEscape(id) + "?" + url.Values{"by": {c.nameOfUser()}}.Encode()
		if err := daemon.changeJSON(e.ctx, http.MethodDelete, path, nil, &ended); err != nil {
			return err
		}
		if c.JSON {
			err = json.NewEncoder(e.stdout).Encode(ended)
		} else {
			_, err = fmt.Fprintf(e.stdout, "silence %s of %s is over\n", printable.Only(ended.ID), printable.Only(ended.Selects()))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
