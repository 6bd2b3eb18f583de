package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is that of the software; messages carry it.
const version = "0.1.0"

type versionCommand struct{}

func (*versionCommand) Help() string {
	return `The version that messages carry, the commit if it is known, Go's version and the platform.

    pulse version`
}

func (*versionCommand) Run(e *env) error {
	revision := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = " " + s.Value[:min(12, len(s.Value))]
			}
		}
	}
	_, err := fmt.Fprintf(e.stdout, "pulse %s%s %s %s/%s\n", version, revision, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
