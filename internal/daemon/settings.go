package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/audit"
	"github.com/wazuh-pulse/pulse/internal/audittrail"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/keys"
	"github.com/wazuh-pulse/pulse/internal/message"
	"github.com/wazuh-pulse/pulse/internal/outbox"
	"github.com/wazuh-pulse/pulse/internal/remote"
	"github.com/wazuh-pulse/pulse/internal/republisher"
	"github.com/wazuh-pulse/pulse/internal/sealing"
)

// maxChanges is how many status changes of one agent are published one by one in
// a minute: an agent that restarts every ten seconds has eighteen. Each is a
// message with an fsync, a line of the audit log and a revision in the roster.
const maxChanges = 30

// Detection returns the detector's settings.
func Detection(cfg *config.Config) (detector.Settings, error) {
	k := &cfg.KeepAlive
	method, err := detector.ParseMethod(k.Method)
	set := detector.Settings{
		Group:         detector.Group{Interval: k.Interval, Timeout: k.Timeout, MaxMissed: k.MaxMissed},
		Method:        method,
		RetryInterval: k.RetryInterval, SuspectTimeout: k.SuspectTimeout, ReconnectGrace: k.ReconnectGrace,
		OutageShare: float64(k.OutageShare) / 100, OutageHold: k.OutageHold,
		FlapThreshold: k.FlapThreshold, FlapWindow: k.FlapWindow, MaxChanges: maxChanges,
		HostProbe: k.HostProbe, EscalateAfter: k.EscalateAfter, DormantAfter: k.DormantAfter,
	}
	for _, g := range cfg.Groups {
		set.Groups = append(set.Groups, detector.Group{Interval: g.Interval, Timeout: g.Timeout, MaxMissed: g.MaxMissed})
	}
	if !k.Enabled {
		set.Interval = 0
		for i := range set.Groups {
			set.Groups[i].Interval = 0
		}
	}
	if len(cfg.Groups) > 0 {
		set.GroupOf = matchGroup(cfg.Groups)
	}
	return set, err
}

// matchGroup returns what finds an agent's group: the first that matches, counted from 1.
func matchGroup(all []config.Group) detector.GroupOf {
	return func(id detector.AgentID, name string, addr netip.Addr, info detector.Info) int {
		for i := range all {
			if all[i].Matches(uint32(id), name, addr, info.Groups) {
				return i + 1
			}
		}
		return 0
	}
}

// messageGroups returns the settings of each group that messages depend on.
func messageGroups(cfg *config.Config) []message.Group {
	list := []message.Group{{Interval: cfg.KeepAlive.Interval, AlertThreshold: cfg.NATS.HighAlertThreshold, FlapWindow: cfg.KeepAlive.FlapWindow}}
	for i := range cfg.Groups {
		list = append(list, message.Group{Interval: cfg.Groups[i].Interval, AlertThreshold: cfg.Groups[i].HighAlertThreshold, FlapWindow: cfg.KeepAlive.FlapWindow})
	}
	return list
}

// settings are the settings in effect. They may be used concurrently.
type settings struct {
	mu  sync.Mutex // held while the detector takes up others: nothing that the detector waits for may want it
	cfg config.Config

	problem atomic.Pointer[string] // of those that were read last, and are not in effect; nil for none
}

// Reload applies settings, as far as they can change while the node runs, and logs
// which have and which wait for a restart. It returns those in effect. If something is
// wrong with them nothing changes, and that is a condition until settings are taken up.
func (n *Node) Reload(next *config.Config) (config.Config, error) {
	n.settings.mu.Lock()
	defer n.settings.mu.Unlock()
	now, changed, waiting := n.settings.cfg.Reload(next)
	if err := n.useSettings(&now); err != nil {
		n.RejectSettings(err)
		return n.settings.cfg, err
	}
	n.settings.cfg = now
	n.settings.problem.Store(nil)
	n.log.Info("settings read again", "changed", formatChanges(changed), "need_a_restart", formatChanges(waiting))
	if _, listens := n.link.(*listenLink); listens {
		logUnusedWazuhGroups(&now, n.log)
	}
	return now, nil
}

// RejectSettings records that settings could not be read.
func (n *Node) RejectSettings(err error) {
	problem := strings.ReplaceAll(boundText(err.Error()), "\n", "; ")
	n.settings.problem.Store(&problem)
	n.log.Error("settings cannot be read again: those in effect stay", "err", err)
}

// useSettings makes settings those in effect: all, or none if there is an error.
func (n *Node) useSettings(cfg *config.Config) error {
	set, err := n.detection(cfg)
	if err != nil {
		return err
	}
	silences, err := settingsSilences(cfg)
	if err != nil {
		return err
	}
	applyRecipients, err := n.out.prepareRecipients(cfg)
	if err != nil {
		return err
	}
	if n.out.hub != nil {
		if err := n.out.hub.Reload(); err != nil {
			return err
		}
	}
	groups := messageGroups(cfg)
	n.detector.SetSettings(set, func() { n.out.groups = groups })
	n.clustered.setFleetSettings(&set)
	n.silences.SetSettings(silences)
	applyRecipients()
	n.hosts.SetPorts(cfg.KeepAlive.HostProbePorts)
	if n.console != nil {
		n.console.SetGroups(listGroupNames(cfg))
	}
	n.audit.Reload(cfg, n.out.pending)
	return nil
}

// ListGroupsByWazuhGroup returns the names of the groups that select agents by Wazuh groups,
// of which a node that is the agents' manager itself knows none.
func ListGroupsByWazuhGroup(cfg *config.Config) (names []string) {
	for i := range cfg.Groups {
		if len(cfg.Groups[i].WazuhGroups) > 0 {
			names = append(names, cfg.Groups[i].Name)
		}
	}
	return names
}

func logUnusedWazuhGroups(cfg *config.Config, log *slog.Logger) {
	if names := ListGroupsByWazuhGroup(cfg); len(names) > 0 {
		log.Warn("no agent's Wazuh groups are known without a Wazuh manager: <wazuh_groups> selects none", "agent_groups", strings.Join(names, ", "))
	}
}

func listGroupNames(cfg *config.Config) (names []string) {
	for i := range cfg.Groups {
		names = append(names, cfg.Groups[i].Name)
	}
	return names
}

// formatChanges lists changes, as many as a line has room for.
func formatChanges(changes []config.Change) string {
	const most = 50
	var list []string
	for _, c := range changes[:min(len(changes), most)] {
		list = append(list, fmt.Sprintf("%s: %s → %s", strings.TrimPrefix(c.Path, "ossec_config/"), cmp.Or(c.Was, "none"), cmp.Or(c.Is, "none")))
	}
	if more := len(changes) - most; more > 0 {
		list = append(list, fmt.Sprintf("and %d more", more))
	}
	return boundText(strings.Join(list, ", "))
}

// boundText cuts text of foreign origin to what a line of the log has room for.
func boundText(s string) string {
	const limit = 500
	if len(s) > limit {
		s = s[:limit] + "…"
	}
	return s
}

// FormerName returns the name that the node had at its last start, if the settings have another one; else "".
func FormerName(cfg *config.Config) string {
	if !cfg.NATS.Enabled || !cfg.NATS.MessageSigning {
		return ""
	}
	files := sealing.KeyFiles(cfg)
	return files.FormerName()
}

// ExamineKeys reads the private keys that a node has for itself as it does when it
// starts, and makes none. It returns what is wrong with each.
func ExamineKeys(cfg *config.Config) (wrong []error) {
	files := sealing.KeyFiles(cfg)
	readers := map[string]func(string) error{}
	if cfg.NATS.Enabled {
		private := func(path string) error { _, err := keys.ReadPrivate(path); return err }
		readers[files.ReadingPath()] = private
		if cfg.NATS.MessageSigning {
			readers[files.SigningPath()] = private
		}
	}
	if cfg.NATS.AuditLogging {
		readers[audittrail.KeyPath(cfg.Pulse.StateDir)] = func(path string) error { _, err := audit.ReadKey(path); return err }
	}
	for _, path := range slices.Sorted(maps.Keys(readers)) {
		if err := readers[path](path); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) { // else it is made
			wrong = append(wrong, err)
		}
	}
	return wrong
}

// StatusStorage is who stores status changes at the XDR's NATS.
type StatusStorage struct {
	Subject string // of status changes
	Stored  bool   // a stream has acknowledged some to this node at some time
	Listed  bool   // the server lists a stream that takes them now
}

// listWait is for how long the server may take to list its streams.
const listWait = 2 * time.Second

// FindOCSFStorage asks the server whether a stream takes the events of OCSF. An error means that it did not answer.
func FindOCSFStorage(ctx context.Context, cfg *config.Config, s *remote.Session) (listed bool, err error) {
	subject := republisher.Subject(cfg.NATS.OCSFSubject, cfg.Pulse.NodeName, "000")
	patterns, err := outbox.ListedSubjects(ctx, s.Conn, s.JetStreamDomain(), cfg.NATS.OCSFSubject, listWait)
	return outbox.Covers(patterns, subject), err
}

// FindStatusStorage asks the server which streams there are. An error means that it
// did not answer.
func FindStatusStorage(ctx context.Context, cfg *config.Config, s *remote.Session) (StatusStorage, error) {
	found := StatusStorage{Subject: event.Prefix(cfg.NATS.SubjectPrefix).StatusChange("*")}
	found.Stored = outbox.Covers(outbox.StoredSubjects(outboxDir(cfg)), found.Subject)
	listed, err := outbox.ListedSubjects(ctx, s.Conn, s.JetStreamDomain(), cfg.NATS.SubjectPrefix, listWait)
	found.Listed = outbox.Covers(listed, found.Subject)
	return found, err
}
