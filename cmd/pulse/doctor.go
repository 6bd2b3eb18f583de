package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/doctor"
	"github.com/wazuh-pulse/pulse/internal/plural"
)

type doctorCommand struct {
	settingsFlag
	JSON bool `help:"Print each finding as a JSON object, one a line."`
}

func (*doctorCommand) Help() string {
	return `Checks the settings and the files they name, the rights of the calling user, the node's keys, ports, the NATS server, clock and
disk, and prints for each what is wrong and what to do. It changes nothing, and may run beside a running Pulse. Run it as
Pulse's own user:

    setpriv --reuid pulse --regid pulse --init-groups pulse doctor
    pulse doctor --config pulse.conf --json | jq 'select(.level == "failure")'

The exit code is 1 if there is a failure: something without which Pulse does not start, or does not do its work.`
}

// errFindings is returned after findings that are failures.
var errFindings = errors.New("not ready")

func (c *doctorCommand) Run(e *env) error {
	counts := make(map[doctor.Level]int)
	report := func(f doctor.Finding) {
		counts[f.Level]++
		printFinding(e.stdout, f, c.JSON)
	}
	loaded, err := config.Load(c.Config...)
	if err != nil {
		for _, f := range doctor.SettingsFindings(err) {
			report(f)
		}
	} else {
		doctor.Examine(e.ctx, loaded, report)
	}
	if e.ctx.Err() != nil {
		return errors.New("interrupted")
	}
	if n := counts[doctor.Failure]; n > 0 {
		return fmt.Errorf("%w: %s, %s", errFindings, plural.CountNoun(n, "failure"), plural.CountNoun(counts[doctor.Warning], "warning"))
	}
	if !c.JSON {
		fmt.Fprintf(e.stdout, "ready, %s\n", plural.CountNoun(counts[doctor.Warning], "warning"))
	}
	return nil
}

// marks are the levels as printed.
var marks = map[doctor.Level]string{doctor.Good: "ok", doctor.Note: "--", doctor.Warning: "WARN", doctor.Failure: "FAIL"}

func printFinding(w io.Writer, f doctor.Finding, asJSON bool) {
	if asJSON {
		_ = json.NewEncoder(w).Encode(f) // e.stdout keeps the error of a failed write
		return
	}
	fmt.Fprintf(w, "%-4s  %-15s  %s\n", marks[f.Level], f.Check, f.What)
	if f.Hint != "" {
		fmt.Fprintf(w, "%-4s  %-15s  → %s\n", "", "", f.Hint)
	}
}
