package doctor

import (
	"context"
	"fmt"

	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/daemon"
	"github.com/wazuh-pulse/pulse/internal/wazuhrules"
)

// checkRules reports whether the manager that Pulse would attach to has the rules for
// Pulse's events.
func (e *examination) checkRules(context.Context) {
	if !e.attach || !e.Pulse.UpdateStatus {
		return
	}
	if daemon.IsWazuh5(&e.Config) {
		return // it takes no events of Pulse
	}
	m, err := config.ReadManager(e.Pulse.Home)
	if err != nil {
		return // a finding of the manager
	}
	in, err := wazuhrules.FindInstallation(&wazuhrules.Settings{Home: e.Pulse.Home, Dirs: m.RuleDirs, Files: m.RuleFiles, Excludes: m.RuleExcludes})
	if err != nil {
		e.add("rules", Note, err.Error(), "run this as Pulse's own user, who is in the manager's group")
		return
	}
	for _, p := range in.Problems {
		e.add("rules", Warning, p.What, p.Hint)
	}
	switch {
	case in.File == "" && len(in.Problems) == 0:
		e.add("rules", Note, "the manager has no rules for Pulse's events: they make no alerts there, but for rule 504", wazuhrules.InstallCommand(e.Pulse.Home))
	case len(in.Problems) == 0:
		e.add("rules", Good, fmt.Sprintf("%s, IDs from %d on", in.File, in.FirstID), "")
	}
}
