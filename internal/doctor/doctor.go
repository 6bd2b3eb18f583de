// Package doctor examines whether this host is ready for Pulse: the settings and the
// files that they name, the rights of the calling user, ports, the NATS server, clock
// and disk.
//
// It changes nothing that lasts. Findings are reported one by one, from the goroutine
// of [Examine], which starts no other.
package doctor

import (
	"context"

	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/daemon"
	"github.com/wazuh-pulse/pulse/internal/expiry"
	"github.com/wazuh-pulse/pulse/internal/hint"
)

// Level is the severity of a finding.
type Level string

// The levels, as they are in JSON.
const (
	Good    Level = "good"
	Note    Level = "note"    // nothing to do, or not known
	Warning Level = "warning" // Pulse works, but not as it should
	Failure Level = "failure" // Pulse does not start, or does not do its work
)

// Finding is the result of one check.
type Finding struct {
	Check string `json:"check"`
	Level Level  `json:"level"`
	What  string `json:"what"`
	Hint  string `json:"way_out,omitempty"`
}

// examination is one run of all checks.
type examination struct {
	*config.Loaded
	report  func(Finding)
	running bool // another Pulse works with this state directory
	attach  bool // to a stock manager on this host
	agents  int  // in client.keys

	stateDirFailed bool // the node cannot use its state directory

	expiries []expiry.Item // of the login to the NATS server
}

// Examine runs all checks, one after the other, and calls report with each finding. It
// takes some seconds where servers do not answer; ctx ends it.
func Examine(ctx context.Context, loaded *config.Loaded, report func(Finding)) {
	e := &examination{Loaded: loaded, report: report}
	for _, check := range []func(context.Context){
		e.checkSettings, e.checkUser, e.checkManager, e.checkRules, e.checkClientKeys, e.checkStateDir, e.checkKeys, e.checkDisk, e.checkOpenFiles,
		e.checkPorts, e.checkHostProbe, e.checkNATS, e.checkExpiry, e.checkClock,
	} {
		if ctx.Err() != nil {
			return
		}
		check(ctx)
	}
}

// SettingsFindings returns the findings about settings that cannot be loaded. Without
// settings there are no other checks.
func SettingsFindings(err error) []Finding { return errorFindings("settings", Failure, err) }

func errorFindings(check string, level Level, err error) (list []Finding) {
	for _, part := range hint.Split(err) {
		list = append(list, Finding{check, level, part.Problem, part.Hint})
	}
	return list
}

func (e *examination) add(check string, level Level, what, hint string) {
	e.report(Finding{check, level, what, hint})
}

func (e *examination) addError(check string, level Level, err error) {
	for _, f := range errorFindings(check, level, err) {
		e.report(f)
	}
}

func (e *examination) checkSettings(context.Context) {
	for _, w := range e.Warnings {
		e.addError("settings", Warning, w)
	}
	for _, f := range e.FindUnreadFiles() {
		e.add("settings", Warning, f.Path+" has settings of Pulse, and is not read", f.Hint)
	}
	if err := e.CheckFiles(); err != nil {
		e.addError("settings", Failure, err)
		return
	}
	if err := daemon.CheckConsoleFiles(&e.Config); err != nil {
		e.addError("settings", Failure, err)
		return
	}
	e.add("settings", Good, e.DescribeFiles(), "")
}
