package main

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// manCommand is for the packages.
type manCommand struct{}

func (*manCommand) Help() string {
	return `Prints the manual page, made of what --help says of each command.

    pulse man | man -l -`
}

func (*manCommand) Run(e *env) error {
	_, err := e.stdout.Write([]byte(manual(newParser(nil).Model)))
	return err
}

// manual writes the page in man(7)'s macros.
func manual(app *kong.Application) string {
	b := new(strings.Builder)
	fmt.Fprintf(b, ".TH PULSE 1 \"\" \"pulse %s\" \"User Commands\"\n.SH NAME\npulse \\- watch Wazuh agents from the manager's side\n", version)
	fmt.Fprintf(b, ".SH SYNOPSIS\n.B pulse\n.I COMMAND\n[\\fIFLAGS\\fR]\n.SH DESCRIPTION\n%s\n", roff(app.Help))
	verbatim(b, app.Detail)
	b.WriteString(".SH COMMANDS\n")
	for _, command := range app.Leaves(true) {
		fmt.Fprintf(b, ".SS %s\n%s\n", roff(strings.TrimPrefix(command.Summary(), "pulse ")), roff(command.Help))
		verbatim(b, command.Detail)
		for _, p := range command.Positional {
			tagged(b, strings.Trim(p.Summary(), "<>[]"), p.Help)
		}
		for _, flags := range command.AllFlags(true) {
			for _, f := range flags {
				if f.Name != "help" {
					tagged(b, f.String(), f.Help)
				}
			}
		}
	}
	b.WriteString(`.SH FILES
.TP
.I /var/ossec/etc/pulse.conf
The settings, unless \-\-config names others.
.TP
.I /var/lib/pulse
What Pulse keeps, unless <state_dir> names another directory.
.SH SEE ALSO
.BR systemctl (1),
.BR journalctl (1)
`)
	return b.String()
}

func tagged(b *strings.Builder, what, help string) {
	fmt.Fprintf(b, ".TP\n.B %s\n%s\n", roff(what), roff(help))
}

// verbatim keeps the lines of a text as they are.
func verbatim(b *strings.Builder, text string) {
	if text != "" {
		fmt.Fprintf(b, ".PP\n.nf\n%s\n.fi\n", roff(text))
	}
}

// roff writes text so that no character of it is markup.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, `-`, `\-`, `'`, `\(aq`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}
