// Command pulse watches Wazuh agents from the manager's side.
//
// Each command is a file with a struct that kong fills from the command line
// and a Run method. What they share is here: signals, exit codes, the world
// (env) and how errors are told. Everything else lives in internal packages.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/hint"
	"github.com/wazuh-pulse/pulse/internal/printable"
	"github.com/wazuh-pulse/pulse/internal/provision"
)

// Exit codes. Go's runtime ends a process that panics, or gets SIGABRT or SIGQUIT,
// with 2, so that no mistake of the settings may have that: the unit
// (deploy/systemd/pulse.service) does not start Pulse again after exitSettings.
const (
	exitOK       = 0
	exitError    = 1  // something failed
	exitUsage    = 2  // the command line is wrong
	exitSettings = 78 // the settings, or the files that they name, are wrong: EX_CONFIG of sysexits.h
)

type commands struct {
	Run       runCommand       `cmd:"" help:"Watch the agents: the daemon."`
	Demo      demoCommand      `cmd:"" help:"See Pulse work, without Wazuh: simulated agents die in every way, and are found."`
	Agents    agentsCommand    `cmd:"" help:"Show the fleet as the running daemon knows it."`
	Top       topCommand       `cmd:"" help:"Show the fleet in the terminal, live."`
	Events    eventsCommand    `cmd:"" help:"Follow the messages on NATS."`
	Verify    verifyCommand    `cmd:"" help:"Check stored messages: their signatures, and that none is missing or there twice."`
	Keys      keysCommand      `cmd:"" help:"Make, show, replace and export the keys that messages are signed and encrypted with."`
	Audit     auditCommand     `cmd:"" help:"Check or show the audit log."`
	Provision provisionCommand `cmd:"" help:"Set up a NATS server: credentials, certificates, configuration, streams."`
	Config    configCommand    `cmd:"" help:"Check or print the settings."`
	Doctor    doctorCommand    `cmd:"" help:"Examine whether this host is ready for Pulse."`
	Sim       simCommand       `cmd:"" help:"Simulate agents against any Wazuh manager."`
	Version   versionCommand   `cmd:"" help:"Print the version."`

	Completion completionCommand `cmd:"" help:"Print what makes a shell complete pulse's commands."`
	Man        manCommand        `cmd:"" hidden:"" help:"Print the manual page."`
}

// env is what a command may use of the world.
type env struct {
	ctx    context.Context // ends with SIGINT, SIGTERM, or when nobody reads stdout any more
	stdout io.Writer
	stderr *os.File
}

// usageError is an error of the one who called.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

// settingsError is a mistake in the settings that is no [config.Error].
type settingsError struct{ error }

func (s settingsError) Unwrap() error { return s.error }

func main() { os.Exit(pulse(os.Args[1:])) }

func pulse(args []string) int {
	signal.Ignore(syscall.SIGPIPE) // so that a write fails instead, and the command can end in order
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	defer stop()
	ctx, quit := context.WithCancel(ctx)
	defer quit()

	command, code, err := parse(args)
	if command == nil {
		if err != nil {
			fmt.Fprintln(os.Stderr, errorLines("pulse: ", err))
		}
		return code
	}
	out := &output{w: os.Stdout, quit: quit}
	err = command.Run(&env{ctx: ctx, stdout: out, stderr: os.Stderr})
	if err == nil {
		err = out.failure()
	}
	return report(err)
}

// report tells a person what went wrong and returns the exit code.
func report(err error) int {
	if err == nil || errors.Is(err, errNoReader) {
		return exitOK
	}
	fmt.Fprintln(os.Stderr, errorLines("pulse: ", err))
	var usage usageError
	var mistake provision.Mistake
	var settings settingsError
	var setting *config.Error
	switch {
	case errors.As(err, &usage) || errors.As(err, &mistake):
		return exitUsage
	case errors.As(err, &settings) || errors.As(err, &setting):
		return exitSettings
	}
	return exitError
}

// errorLines returns the problems of an error, each behind the prefix, with their
// hints on lines of their own. The text may quote foreign text, so that what would
// steer a terminal is removed.
func errorLines(prefix string, err error) string {
	var lines []string
	for _, part := range hint.Split(err) {
		for problem := range strings.SplitSeq(part.Problem, "\n") {
			lines = append(lines, prefix+printable.Only(problem))
		}
		if part.Hint != "" {
			lines = append(lines, "pulse: hint: "+printable.Only(part.Hint))
		}
	}
	return strings.Join(lines, "\n")
}
