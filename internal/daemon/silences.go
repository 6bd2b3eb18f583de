package daemon

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/silence"
	"github.com/wazuh-pulse/pulse/internal/silencer"
)

// silencesFile is the file of silences in the state directory.
const silencesFile = "silences.json"

// openSilences opens the silences of the state directory and the settings.
func (n *Node) openSilences(cfg *config.Config) error {
	list, err := settingsSilences(cfg)
	if err != nil {
		return err
	}
	n.silences = silencer.Open(silencer.Config{Node: cfg.Pulse.NodeName, Path: filepath.Join(cfg.Pulse.StateDir, silencesFile), Fleet: n.detector, Settings: list,
		Now: time.Now, Log: n.log,
		Record: func(change silencer.Change, s *silence.Silence, peer string) {
			n.audit.RecordSilence(string(change), s, peer)
			n.link.OnSilence(change, s, peer)
		},
		Postpone: func(err error, write func() error) { n.out.pending.Postpone(silencesFile, err, write) }})
	return nil
}

// AddSilence adds a silence from within this process. It returns when the silence is in
// effect.
func (n *Node) AddSilence(ctx context.Context, r *silence.Request) (silence.Added, error) {
	return n.silences.Add(ctx, r, "this process")
}

// settingsSilences returns the silences of the settings.
func settingsSilences(cfg *config.Config) (list []silence.Silence, err error) {
	for i := range cfg.Silences {
		c := &cfg.Silences[i]
		s, err := silencer.SettingsSilence(c.Name, silence.Entry{All: c.All, Agent: c.Agent, Group: c.Group, Network: c.Network, Weekly: c.Weekly, Comment: c.Comment})
		if err != nil {
			return nil, fmt.Errorf("<silence name=%q>: %w", c.Name, err)
		}
		list = append(list, s)
	}
	return list, nil
}

// detection returns the detector's settings. An agent whose group is determined again has
// changed, and is evaluated by the silences.
func (n *Node) detection(cfg *config.Config) (detector.Settings, error) {
	set, err := Detection(cfg)
	groupOf := set.GroupOf
	set.GroupOf = func(id detector.AgentID, name string, addr netip.Addr, info detector.Info) int {
		n.silences.MarkAgent(id)
		if groupOf == nil {
			return 0
		}
		return groupOf(id, name, addr, info)
	}
	return set, err
}

// markRemoved has an agent evaluated that is not watched any more: another one may have its
// ID.
func (n *Node) markRemoved(d *detector.Decision) {
	if d.Verdict == detector.Changed && (d.Reason == detector.AgentRemoved || d.Reason == detector.AgentMoved) {
		n.silences.MarkAgent(d.ID)
	}
}
