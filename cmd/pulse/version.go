package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/alecthomas/kong"
)

// version is the version of the software; messages have it. Go makes it from the
// commit's tag, or from the tag before it and the commit's date: later ones are higher.
var version = readVersion(debug.ReadBuildInfo())

// unknownVersion is that of a program that was not built from a commit, such as by go run.
const unknownVersion = "0.0.0-devel"

func readVersion(info *debug.BuildInfo, ok bool) string {
	if !ok || info.Main.Version == "(devel)" {
		return unknownVersion
	}
	return cmp.Or(strings.TrimPrefix(info.Main.Version, "v"), unknownVersion)
}

func versionLine() string {
	return fmt.Sprintf("pulse %s %s %s/%s", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

type versionCommand struct {
	JSON bool `help:"Print one JSON object."`
}

func (*versionCommand) Help() string {
	return `The version that is in messages, Go's version and the platform. Versions are those of Go's modules: the tag of a
release, as 1.2.3; of another commit the next release, its date and what it is called by, as
1.2.4-0.20261129021040-c5fbbc9a96eb. Later ones are higher.

    pulse version
    pulse version --json | jq -r .version`
}

func (c *versionCommand) Run(e *env) error {
	if c.JSON {
		return printJSON(e.stdout, struct {
			Version string `json:"version"`
			Go      string `json:"go_version"`
			OS      string `json:"os"`
			Arch    string `json:"arch"`
		}{version, runtime.Version(), runtime.GOOS, runtime.GOARCH})
	}
	_, err := fmt.Fprintln(e.stdout, versionLine())
	return err
}

// versionFlag is --version, which other programs have.
type versionFlag bool

// BeforeReset prints the version and ends.
func (versionFlag) BeforeReset(app *kong.Kong) error {
	_, err := fmt.Fprintln(app.Stdout, versionLine())
	app.Exit(exitOK)
	return err
}

type helpCommand struct {
	Command []string `arg:"" optional:"" complete:"commands" help:"The command, such as: config check."`
}

func (*helpCommand) Help() string {
	return `The same as --help behind a command.

    pulse help config check`
}

func (c *helpCommand) Run(*env) error {
	if _, _, err := parseArgs(append(c.Command, "--help")); err != nil {
		return usageError{err}
	}
	return nil
}
