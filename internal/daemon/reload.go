package daemon

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/wazuh-pulse/pulse/internal/config"
)

// settings are those that a node runs with. They may be used concurrently.
type settings struct {
	mu  sync.Mutex // held while the detector takes up others: nothing that the detector waits for may want it
	cfg config.Config

	problem atomic.Pointer[string] // of those that were read last, and are not in effect; nil for none
}

func (s *settings) readProblem() string {
	if p := s.problem.Load(); p != nil {
		return *p
	}
	return ""
}

// Reload takes up settings, as far as they can change while the node runs, and logs
// which have and which wait for a restart. It returns those in effect. If something is
// wrong with them nothing changes, and that is a condition until settings are taken up.
func (n *Node) Reload(next *config.Config) (config.Config, error) {
	n.settings.mu.Lock()
	defer n.settings.mu.Unlock()
	now, changed, waiting := n.settings.cfg.Reload(next)
	if err := n.useSettings(&now); err != nil {
		n.refuseSettings(err)
		return n.settings.cfg, err
	}
	n.settings.cfg = now
	n.settings.problem.Store(nil)
	n.log.Info("settings read again", "changed", changesInWords(changed), "need_a_restart", changesInWords(waiting))
	return now, nil
}

// RejectSettings notes that settings could not even be read.
func (n *Node) RejectSettings(err error) { n.refuseSettings(err) }

func (n *Node) refuseSettings(err error) {
	problem := strings.ReplaceAll(boundText(err.Error()), "\n", "; ")
	n.settings.problem.Store(&problem)
	n.log.Error("settings cannot be read again: those in effect stay", "err", err)
}

// useSettings makes settings those in effect: all, or none if there is an error.
func (n *Node) useSettings(cfg *config.Config) error {
	set, err := Detection(cfg)
	if err != nil {
		return err
	}
	sealer := n.out.sealer
	applyRecipients := func() bool { return false }
	if sealer != nil {
		if applyRecipients, err = sealer.PrepareReload(cfg); err != nil {
			return err
		}
	}
	next := groups(cfg)
	n.detector.SetSettings(set, func() { n.out.groups = next })
	if applyRecipients() {
		n.log.Info("messages are encrypted for other recipients", "recipients", strings.TrimSpace(sealer.RecipientIDs()))
	}
	if n.console != nil {
		n.console.SetGroups(groupNames(cfg))
	}
	n.out.audit.Reload(cfg, n.out.pending)
	return nil
}

func groupNames(cfg *config.Config) (names []string) {
	for i := range cfg.Groups {
		names = append(names, cfg.Groups[i].Name)
	}
	return names
}

// changesInWords lists changes, as many as a line has room for.
func changesInWords(changes []config.Change) string {
	const most = 50
	var list []string
	for _, c := range changes[:min(len(changes), most)] {
		list = append(list, fmt.Sprintf("%s: %s → %s", strings.TrimPrefix(c.Path, "ossec_config/"), orNone(c.Was), orNone(c.Is)))
	}
	if more := len(changes) - most; more > 0 {
		list = append(list, fmt.Sprintf("and %d more", more))
	}
	return boundText(strings.Join(list, ", "))
}

func orNone(value string) string {
	if value == "" {
		return "none"
	}
	return value
}

// boundText cuts text of foreign origin to what a line of the log has room for.
func boundText(s string) string {
	const limit = 500
	if len(s) > limit {
		s = s[:limit] + "…"
	}
	return s
}
