package main

import (
	"errors"
	"fmt"

	"github.com/alecthomas/kong"
)

const description = `Pulse watches Wazuh agents from the manager's side: it knows within seconds which of them live, and tells an XDR platform over NATS.`

func (*commands) Help() string {
	return `To see it at work, with nothing installed:

    pulse demo --for 30s

Exit codes: 0 good, 1 something failed, 2 the command line is wrong, 78 the settings are wrong.`
}

// parse reads the command line. Without a command to run, it returns the exit
// code, and an error unless help was asked for and given.
func parse(args []string) (command *kong.Context, code int, err error) {
	if len(args) == 0 {
		args = []string{"--help"}
	}
	exit := -1
	parser := newParser(func(code int) { exit = code })
	command, err = parser.Parse(args)
	switch {
	case exit >= 0: // help; what else is on the command line does not matter
		return nil, exit, nil
	case err != nil:
		return nil, exitUsage, fmt.Errorf("%w\nfor help: %s --help", err, commandOf(err))
	}
	return command, exitOK, nil
}

func newParser(exit func(code int)) *kong.Kong {
	parser, err := kong.New(new(commands), kong.Name("pulse"), kong.Description(description),
		kong.Exit(exit), kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		panic(err) // a mistake in the tags of commands; any test sees it
	}
	return parser
}

// commandOf names the command that a mistake was made with.
func commandOf(err error) string {
	if mistake, ok := errors.AsType[*kong.ParseError](err); ok && mistake.Context != nil {
		if node := mistake.Context.Selected(); node != nil {
			return node.FullPath()
		}
	}
	return "pulse"
}
