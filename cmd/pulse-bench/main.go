// Command pulse-bench measures Pulse on this machine.
//
// It is a program of its own so that the daemon's program has no code that only
// measurements and the demo need: other processes, and a simulated manager with its
// database.
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

	"github.com/alecthomas/kong"
)

// Exit codes.
const (
	exitOK    = 0
	exitError = 1 // a measurement failed, or shows that something is wrong
	exitUsage = 2 // the command line is wrong
)

type commands struct {
	All      allCommand      `cmd:"" help:"Run most of the others, and print each figure beside that of something simpler."`
	Table    tableCommand    `cmd:"" help:"Make a table of what all has measured."`
	Detector detectorCommand `cmd:"" help:"Measure the failure detector with many agents, without a network."`
	Publish  publishCommand  `cmd:"" help:"Measure publishing, from the detector's decision to a message that a NATS server has confirmed."`
	Listen   listenCommand   `cmd:"" help:"Measure Pulse as the agents' manager, beside the least that a manager can be."`
	Attach   attachCommand   `cmd:"" help:"Measure Pulse beside a (simulated) Wazuh manager, and what it costs the manager."`
	Cluster  clusterCommand  `cmd:"" help:"Measure what the nodes of a cluster share: which of them has an agent."`
	Soak     soakCommand     `cmd:"" help:"Run a node for hours, with agents and servers that fail, and see that it does not grow."`
	Demo     demoCommand     `cmd:"" help:"Run pulse demo, beside a simulated manager with --attach."`

	NATSServer  natsServerCommand  `cmd:"" name:"nats-server" hidden:""`
	SoakNode    soakNodeCommand    `cmd:"" hidden:""`
	Manager     managerCommand     `cmd:"" hidden:""`
	Agents      agentsCommand      `cmd:"" hidden:""`
	OtherClient otherClientCommand `cmd:"" hidden:""`
	BareReader  bareReaderCommand  `cmd:"" hidden:""`
	ListenNode  listenNodeCommand  `cmd:"" hidden:""`
	BareManager bareManagerCommand `cmd:"" hidden:""`
	ListenFleet listenFleetCommand `cmd:"" hidden:""`
}

func (*commands) Help() string {
	return `Figures for this machine, to compare with those in docs/performance.md.

    pulse-bench all --json
    pulse-bench detector --agents 100000
    pulse-bench publish
    pulse-bench listen
    pulse-bench attach
    pulse-bench cluster
    pulse-bench soak --agents 8000 --for 2h

It also has the demo beside a simulated manager, which the daemon's program does not include:

    pulse-bench demo --attach --for 40s

Exit codes: 0 good, 1 a measurement failed or shows that something is wrong, 2 the command line is wrong.`
}

// usageError is an error in the command line.
type usageError struct{ error }

func main() { os.Exit(runBench(os.Args[1:])) }

func runBench(args []string) int {
	signal.Ignore(syscall.SIGPIPE) // a failed write is an error, and temporary files are removed
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	defer stop()

	if len(args) == 0 {
		args = []string{"--help"}
	}
	exited := -1
	parser, err := kong.New(new(commands), kong.Name("pulse-bench"), kong.Description("Measures Pulse on this machine."),
		kong.Exit(func(code int) { exited = code }), kong.ConfigureHelp(kong.HelpOptions{Compact: true}), durations())
	if err != nil {
		panic(err) // a mistake in the tags of commands
	}
	command, err := parser.Parse(args)
	if exited >= 0 { // help was asked for
		return exited
	}
	if err == nil {
		command.BindTo(ctx, (*context.Context)(nil))
		err = command.Run()
	} else {
		err = usageError{fmt.Errorf("%w\nfor help: pulse-bench --help", err)}
	}
	return reportError(err)
}

// reportError prints an error and returns the exit code.
func reportError(err error) int {
	if err == nil {
		return exitOK
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintln(os.Stderr, "pulse-bench: "+line)
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	return exitError
}

// report is the result of a measurement.
type report interface {
	WriteJSON(w io.Writer) error
	WriteText(w io.Writer)
	Err() error // what is wrong according to the figures
}

// writeReport writes a report to standard output and returns what is wrong
// according to it.
func writeReport(r report, asJSON bool) error {
	if !asJSON {
		r.WriteText(os.Stdout)
	} else if err := r.WriteJSON(os.Stdout); err != nil {
		return err
	}
	return r.Err()
}
