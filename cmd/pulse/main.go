// Command pulse watches Wazuh agents from the manager's side.
//
// Each command is a file with a struct that kong fills from the command line
// and a Run method. This file has what they share: signals, exit codes and their
// environment (env); report.go prints errors. Everything else is in internal packages.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes. Go's runtime ends a process that panics, or gets SIGABRT or SIGQUIT,
// with 2, so that the code of bad settings has to differ: the unit
// (deploy/systemd/pulse.service) does not restart Pulse after exitSettings.
const (
	exitOK       = 0
	exitError    = 1  // something failed
	exitUsage    = 2  // the command line is wrong
	exitSettings = 78 // the settings, or the files that they name, are wrong: EX_CONFIG of sysexits.h
)

type commands struct {
	PrintVersion versionFlag `name:"version" help:"Print the version."`

	Run       runCommand       `cmd:"" help:"Watch the agents: the daemon."`
	Demo      demoCommand      `cmd:"" help:"Try Pulse without Wazuh: simulated agents fail in every way, and are detected."`
	Agents    agentsCommand    `cmd:"" help:"Show the fleet, from the running daemon."`
	Agent     agentCommand     `cmd:"" help:"Show one agent: its status, its last changes, what its loss was decided by."`
	Ping      pingCommand      `cmd:"" help:"Send an agent a keep-alive, and wait for the answer."`
	Status    statusCommand    `cmd:"" help:"Show how the running daemon is. The exit code says whether it works."`
	Silence   silenceCommand   `cmd:"" help:"Hold back the alerts of some agents for a while: planned work."`
	Nodes     nodesCommand     `cmd:"" help:"Show the nodes of the cluster, from the running daemon."`
	Top       topCommand       `cmd:"" help:"Show the fleet in the terminal, live."`
	Events    eventsCommand    `cmd:"" help:"Follow the messages on NATS."`
	Verify    verifyCommand    `cmd:"" help:"Check stored messages: their signatures, and that none is missing or duplicated."`
	Keys      keysCommand      `cmd:"" help:"Make, show, replace and export the keys that messages are signed and encrypted with."`
	Audit     auditCommand     `cmd:"" help:"Check or show the audit log."`
	Report    reportCommand    `cmd:"" help:"Report how available the agents were, for a month or any other time."`
	Provision provisionCommand `cmd:"" help:"Set up a NATS server: credentials, certificates, configuration, streams."`
	Config    configCommand    `cmd:"" help:"Check or print the settings."`
	Doctor    doctorCommand    `cmd:"" help:"Examine whether this host is ready for Pulse."`
	Sim       simCommand       `cmd:"" help:"Simulate agents against any Wazuh manager."`

	WazuhRules wazuhRulesCommand `cmd:"" help:"Print the rules that make alerts of Pulse's events in a Wazuh manager."`

	Version versionCommand `cmd:"" help:"Print the version."`
	HelpOf  helpCommand    `cmd:"" name:"help" help:"Explain a command."`

	Completion completionCommand `cmd:"" help:"Print the completion of pulse's commands for a shell."`
	Complete   completeCommand   `cmd:"" hidden:"" help:"List values for the completion of a shell."`
	Man        manCommand        `cmd:"" hidden:"" help:"Print the manual page."`
}

// env is the environment of a command.
type env struct {
	ctx    context.Context // ends with SIGINT, SIGTERM, or when stdout is closed
	stdout io.Writer
	stderr *os.File
}

func main() { os.Exit(runPulse(os.Args[1:])) }

func runPulse(args []string) int {
	signal.Ignore(syscall.SIGPIPE) // so that a write fails instead, and the command can clean up
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	defer stop()
	ctx, quit := context.WithCancel(ctx)
	defer quit()

	command, code, err := parseArgs(args)
	if command == nil {
		if err != nil {
			fmt.Fprintln(os.Stderr, errorLines("pulse: ", err))
		}
		return code
	}
	out := &stdoutWriter{w: os.Stdout, quit: quit}
	err = command.Run(&env{ctx: ctx, stdout: out, stderr: os.Stderr})
	if err == nil {
		err = out.firstError()
	}
	return reportError(err)
}
