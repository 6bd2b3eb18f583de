package main

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/wazuh-pulse/pulse/internal/audittrail"
	"github.com/wazuh-pulse/pulse/internal/hint"
	"github.com/wazuh-pulse/pulse/internal/silence"
)

const description = `Pulse watches Wazuh agents from the manager's side: it detects within seconds which of them fail, and publishes that to an XDR platform over NATS.`

func (*commands) Help() string {
	return `To try it, with nothing installed:

    pulse demo --for 30s

Exit codes: 0 good, 1 something failed, 2 the command line is wrong, 78 the settings are wrong.`
}

// parseArgs reads the command line. Without a command to run, it returns the exit
// code, and an error unless help was asked for and given.
func parseArgs(args []string) (command *kong.Context, code int, err error) {
	if len(args) == 0 {
		args = []string{"--help"}
	}
	exit := -1
	parser := newParser(func(code int) { exit = code })
	command, err = parser.Parse(args)
	switch {
	case exit >= 0: // help; the rest of the command line is not checked
		return nil, exit, nil
	case err != nil:
		choice := explainChoice(err)
		return nil, exitUsage, hint.Add(fmt.Errorf("%w\nfor help: %s --help", choice.error, commandOf(err)), choice.hint)
	}
	return command, exitOK, nil
}

func newParser(exit func(code int)) *kong.Kong { return newParserOf(new(commands), exit) }

// newParserOf returns a parser that fills in c.
func newParserOf(c *commands, exit func(code int)) *kong.Kong {
	parser, err := kong.New(c, kong.Name("pulse"), kong.Description(description),
		choices, kong.Exit(exit), kong.ConfigureHelp(kong.HelpOptions{Compact: true}), kong.TypeMapper(reflect.TypeFor[time.Duration](), kong.MapperFunc(parseDurationFlag)))
	if err != nil {
		panic(err) // a mistake in the tags of commands; any test sees it
	}
	return parser
}

// parseDurationFlag parses a duration as settings have it: seconds, or with a unit.
func parseDurationFlag(ctx *kong.DecodeContext, target reflect.Value) error {
	var text string
	if err := ctx.Scan.PopValueInto("duration", &text); err != nil {
		return err
	}
	d, err := silence.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("want seconds, or a duration such as 90s, 2m, 1.5h or 1d, not %q", text)
	}
	target.SetInt(int64(d))
	return nil
}

// choices are the values of flags that are too many for a tag, or that other code defines.
var choices = kong.Vars{
	"statuses":    strings.Join(statusNames, ","),
	"audit_kinds": strings.Join(audittrail.Kinds(), ","),
}

// choiceError is an error about a value that is none of those that there are.
type choiceError struct {
	error
	hint string
}

// refusedChoice matches the parser's errors about such values.
var refusedChoice = regexp.MustCompile(`^(\S+) must be one of (\S+) but got (".*")$`)

// explainChoice returns the error for a value that is none of a flag's or an argument's; any other error as it is.
func explainChoice(err error) choiceError {
	parts := refusedChoice.FindStringSubmatch(err.Error())
	if parts == nil {
		return choiceError{error: err}
	}
	given, _ := strconv.Unquote(parts[3])
	return newChoiceError(parts[1], given, strings.FieldsFunc(parts[2], func(r rune) bool { return r == ',' || r == '"' }))
}

// newChoiceError returns an error that has all values that there are, and the nearest as a hint.
func newChoiceError(what, given string, known []string) choiceError {
	e := choiceError{error: fmt.Errorf("%s %.60q: want %s", what, given, joinChoices(known))}
	if near := hint.FindNearest(given, known); near != "" {
		e.hint = fmt.Sprintf("did you mean %s?", near)
	}
	return e
}

// refuseChoice returns the usage error for a value of a flag that is none of those that there are.
func refuseChoice(flag, given string, known []string) error {
	e := newChoiceError(flag, given, known)
	return usageError{hint.Add(e.error, e.hint)}
}

func joinChoices(known []string) string {
	if len(known) < 2 {
		return strings.Join(known, "")
	}
	return strings.Join(known[:len(known)-1], ", ") + " or " + known[len(known)-1]
}

// commandOf returns the command that a parse error is about.
func commandOf(err error) string {
	if mistake, ok := errors.AsType[*kong.ParseError](err); ok && mistake.Context != nil {
		if node := mistake.Context.Selected(); node != nil {
			return node.FullPath()
		}
	}
	return "pulse"
}

// manCommand is for the Linux packages.
type manCommand struct{}

func (*manCommand) Help() string {
	return `Prints the manual page, made of the --help texts of all commands.

    pulse man | man -l -`
}

func (*manCommand) Run(e *env) error {
	_, err := e.stdout.Write([]byte(formatManualPage(newParser(nil).Model)))
	return err
}

// formatManualPage returns the page in the macros of man(7).
func formatManualPage(app *kong.Application) string {
	b := new(strings.Builder)
	fmt.Fprintf(b, ".TH PULSE 1 \"\" \"pulse %s\" \"User Commands\"\n.SH NAME\npulse \\- watch Wazuh agents from the manager's side\n", version)
	fmt.Fprintf(b, ".SH SYNOPSIS\n.B pulse\n.I COMMAND\n[\\fIFLAGS\\fR]\n.SH DESCRIPTION\n%s\n", escapeRoff(app.Help))
	writeVerbatim(b, app.Detail)
	b.WriteString(".SH COMMANDS\n")
	for _, command := range app.Leaves(true) {
		fmt.Fprintf(b, ".SS %s\n%s\n", escapeRoff(strings.TrimPrefix(command.Summary(), "pulse ")), escapeRoff(command.Help))
		writeVerbatim(b, command.Detail)
		for _, p := range command.Positional {
			writeTaggedText(b, strings.Trim(p.Summary(), "<>[]"), p.Help)
		}
		for _, flags := range command.AllFlags(true) {
			for _, f := range flags {
				if f.Name != "help" && f.Name != "version" {
					writeTaggedText(b, f.String(), f.Help)
				}
			}
		}
	}
	b.WriteString(`.SH FILES
.TP
.I /var/ossec/etc/pulse.conf
The settings, unless \-\-config names others.
.TP
.I /var/ossec/etc/pulse.d/*.conf
More settings, read behind those in the order of the files' names.
.TP
.I /var/lib/pulse
What Pulse keeps, unless <state_dir> names another directory.
.SH SEE ALSO
.BR pulse.conf (5),
.BR systemctl (1),
.BR journalctl (1)
`)
	return b.String()
}

func writeTaggedText(b *strings.Builder, what, help string) {
	fmt.Fprintf(b, ".TP\n.B %s\n%s\n", escapeRoff(what), escapeRoff(help))
}

// writeVerbatim writes a text with its line breaks.
func writeVerbatim(b *strings.Builder, text string) {
	if text != "" {
		fmt.Fprintf(b, ".PP\n.nf\n%s\n.fi\n", escapeRoff(text))
	}
}

// escapeRoff returns text without markup characters.
func escapeRoff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, `-`, `\-`, `'`, `\(aq`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}
