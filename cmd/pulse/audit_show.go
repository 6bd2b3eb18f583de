package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/wazuh-pulse/pulse/internal/audit"
	"github.com/wazuh-pulse/pulse/internal/printable"
	"github.com/wazuh-pulse/pulse/internal/silence"
)

type auditShowCommand struct {
	auditFlags
	Since string `placeholder:"TIME" help:"From here on: 2026-01-02T15:04:05Z, '2026-01-02 15:04', 2026-01-02, 15:04 (today), or how long ago, such as 90m or 2d."`
	Until string `placeholder:"TIME" help:"Up to here, in the same forms."`
	Agent string `complete:"agents" placeholder:"ID" help:"Only lines about this agent, including sums."`
	Kind  string `enum:",${audit_kinds}" default:"" placeholder:"KIND" help:"Only lines of this kind, such as transition, refused or nats; docs/operators.md describes them."`
	JSON  bool   `help:"Print the lines as they are."`
}

func (*auditShowCommand) Help() string {
	return `Prints lines of the audit log, oldest first. It does not verify them: pulse audit verify does.

    pulse audit show --since 2d --agent 001
    pulse audit show --kind refused --json | jq -r .peer`
}

func (c *auditShowCommand) Run(e *env) error {
	filter, err := c.parseFilter(time.Now())
	if err != nil {
		return usageError{err}
	}
	dir, err := c.auditLogDir(e)
	if err != nil {
		return err
	}
	shown := 0
	err = audit.Read(dir, filter, func(l *audit.Line) error {
		shown++
		text := string(l.Text)
		if !c.JSON {
			text = formatAuditLine(l)
		}
		_, err := fmt.Fprintln(e.stdout, text)
		return err
	})
	if err == nil && shown == 0 && !c.JSON {
		fmt.Fprintln(e.stderr, "no such lines")
	}
	return err
}

func (c *auditShowCommand) parseFilter(now time.Time) (f audit.Filter, err error) {
	f = audit.Filter{Kind: c.Kind, Agent: c.Agent}
	if n, err := strconv.ParseUint(c.Agent, 10, 32); err == nil {
		f.Agent = fmt.Sprintf("%03d", n)
	} else if c.Agent != "" {
		return f, fmt.Errorf("--agent %q: want an agent's id, such as 001", c.Agent)
	}
	if f.Since, err = parseTime(c.Since, now); err != nil {
		return f, fmt.Errorf("--since %q: %w", c.Since, err)
	}
	if f.Until, err = parseTime(c.Until, now); err != nil {
		return f, fmt.Errorf("--until %q: %w", c.Until, err)
	}
	return f, nil
}

// parseTime parses a time in one of several formats; "" is the zero time.
func parseTime(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, format := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		if at, err := time.ParseInLocation(format, text, now.Location()); err == nil {
			return at, nil
		}
	}
	for _, format := range []string{"15:04:05", "15:04"} {
		if at, err := time.Parse(format, text); err == nil {
			y, m, d := now.Date()
			return time.Date(y, m, d, at.Hour(), at.Minute(), at.Second(), 0, now.Location()), nil
		}
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return now.AddDate(0, 0, -int(n)), nil
		}
	}
	if d, err := silence.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, fmt.Errorf("want a time, such as 2026-01-02T15:04:05Z, 2026-01-02 or 15:04, or how long ago, such as 90m or 2d")
}

// ownMembers are the members of a line that are not shown: they are for verifying.
var ownMembers = map[string]bool{"seq": true, "prev": true, "time": true, "kind": true, "sig": true}

// formatAuditLine returns a line as text. Foreign text in it cannot steer the terminal.
func formatAuditLine(l *audit.Line) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %-12s", l.Time.Local().Format("2006-01-02 15:04:05.000"), printable.Only(l.Kind))
	members := json.NewDecoder(bytes.NewReader(l.Text))
	if _, err := members.Token(); err != nil {
		return b.String()
	}
	for members.More() {
		name, err := members.Token()
		var value json.RawMessage
		if err != nil || members.Decode(&value) != nil {
			break
		}
		if text, ok := name.(string); ok && !ownMembers[text] {
			fmt.Fprintf(&b, " %s=%s", printable.Only(text), formatMember(value))
		}
	}
	return b.String()
}

// formatMember returns a member's value, in quotes if it is not a plain word.
func formatMember(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) != nil {
		return printable.Only(string(value))
	}
	if text == "" || strings.ContainsAny(text, ` "=\`) || printable.Only(text) != text {
		return strconv.Quote(text)
	}
	return text
}

// progressOn returns a function that draws a progress bar on f, nil if f is no terminal.
func progressOn(f *os.File) func(done, all int64) {
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return nil
	}
	const width = 40
	drawn := -1
	return func(done, all int64) {
		full := int(width * done / max(all, 1))
		if full == drawn || all < progressFrom {
			return
		}
		drawn = full
		fmt.Fprintf(f, "\rverifying [%s%s] %3d %%", strings.Repeat("#", full), strings.Repeat(".", width-full), 100*done/all)
		if done >= all {
			fmt.Fprint(f, "\r\x1b[K")
		}
	}
}

// progressFrom is the size of a log, in bytes, from which on a bar is drawn.
const progressFrom = 32 << 20
