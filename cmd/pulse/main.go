// Command pulse watches Wazuh agents from the manager's side.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/wazuh-pulse/pulse/internal/config"
)

// Exit codes.
const (
	exitOK    = 0
	exitError = 1 // something failed
	exitUsage = 2 // the command line or the settings are wrong
)

type commands struct {
	Run     runCommand     `cmd:"" help:"Watch the agents: the daemon."`
	Demo    demoCommand    `cmd:"" help:"See Pulse work, without Wazuh: simulated agents die in every way, and are found."`
	Agents  agentsCommand  `cmd:"" help:"Show the fleet as the running daemon knows it."`
	Events  eventsCommand  `cmd:"" help:"Follow the messages on NATS."`
	Config  configCommand  `cmd:"" help:"Check or print the settings."`
	Sim     simCommand     `cmd:"" help:"Simulate agents against any Wazuh manager."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

// env is what a command may use of the world.
type env struct {
	ctx    context.Context // ends with SIGINT or SIGTERM
	stdout io.Writer
	stderr *os.File
}

// usageError is an error of the one who called.
type usageError struct{ error }

func main() { os.Exit(pulse(os.Args[1:])) }

func pulse(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	defer stop()

	var cli commands
	exit := -1
	parser, err := kong.New(&cli, kong.Name("pulse"), kong.UsageOnError(), kong.Exit(func(code int) { exit = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Description("Pulse watches Wazuh agents from the manager's side: it knows within seconds which of them live, and tells an XDR platform over NATS."))
	if err != nil {
		panic(err) // a mistake in the tags above
	}
	command, err := parser.Parse(args)
	if exit >= 0 { // --help was asked for and given
		return exit
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "pulse: %v\nTry: pulse --help\n", err)
		return exitUsage
	}
	return report(command.Run(&env{ctx: ctx, stdout: os.Stdout, stderr: os.Stderr}))
}

// report prints an error for a person and returns the exit code.
func report(err error) int {
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(os.Stderr, "pulse: %v\n", err)
	var usage usageError
	var setting *config.Error
	if errors.As(err, &usage) || errors.As(err, &setting) {
		return exitUsage
	}
	return exitError
}
