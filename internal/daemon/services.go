package daemon

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/hostprobe"
	"github.com/wazuh-pulse/pulse/internal/keys"
	"github.com/wazuh-pulse/pulse/internal/natsserver"
	"github.com/wazuh-pulse/pulse/internal/outbox"
	"github.com/wazuh-pulse/pulse/internal/query"
	"github.com/wazuh-pulse/pulse/internal/silence"
	"github.com/wazuh-pulse/pulse/internal/silencer"
	"github.com/wazuh-pulse/pulse/internal/view"
)

// answerQueries answers XDR clients until ctx ends: on each session with the XDR's
// NATS server if there is one, otherwise on the embedded server.
func (n *Node) answerQueries(ctx context.Context) {
	if !n.out.natsEnabled() {
		return
	}
	var nodes func() view.NodeList
	if n.clustered.shownFleet() != nil {
		nodes = n.listNodes
	}
	service := query.New(query.Config{Node: n.out.source().Node, Version: n.out.source().Version, Fleet: n.fleet, Clock: n.clock, Nodes: nodes,
		Status: func() any { return n.Status() }, Silences: n.silences.List, Seal: n.out.sealer.AnswerSeal(), Log: n.log})
	err := n.out.outbox.ServeConnections(ctx, natsserver.Service, func(c outbox.Connection) {
		if err := service.Serve(ctx, c.Conn); err != nil {
			n.log.Warn("questions are not answered on this connection", "err", err)
		}
	})
	if err != nil {
		n.log.Error("questions are not answered", "err", err)
	}
}

// publishKeys writes the node's public keys to the bucket of keys, on each session with
// the server that its messages go to, until ctx ends.
func (p *Publisher) publishKeys(ctx context.Context) {
	if p.sealer == nil || !p.sealer.Signs() || p.noBuckets {
		return
	}
	publisher := &keys.KVPublisher{Files: &p.sealer.Files, Log: p.log}
	err := p.outbox.ServeConnections(ctx, natsserver.Keys, func(c outbox.Connection) {
		publisher.Domain = c.Domain
		publisher.Run(ctx, c.Conn, c.Ended, c.Refusal)
	})
	if err != nil {
		p.log.Error("the public keys are not shown on NATS", "err", err)
	}
}

// hostStates are the detector's names for what a probe finds.
var hostStates = [...]detector.Host{
	hostprobe.Unknown: detector.HostUnknown, hostprobe.Answers: detector.HostAnswers, hostprobe.Silent: detector.HostSilent,
}

// probeHost has a lost agent's host probed, and the result reported to the detector. It does not wait.
func (n *Node) probeHost(d *detector.Decision) {
	id, token := d.ID, d.Token
	n.hosts.Request(d.Addr, func(r hostprobe.Result) {
		n.detector.ReportHost(detector.HostReport{ID: id, Token: token, At: n.clock.Now(), Host: hostStates[r.Host], Probe: r.How})
	})
}

// countHostProbes returns how many results there were, by name.
func (n *Node) countHostProbes() map[string]int64 {
	named := make(map[string]int64)
	for host, count := range n.hosts.Counts() {
		named[hostStates[host].String()] = int64(count)
	}
	return named
}

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
		Record:   n.recordSilence,
		Postpone: func(err error, write func() error) { n.out.pending.Postpone(silencesFile, err, write) }})
	return nil
}

// recordSilence records a change of a silence, and logs what people do.
func (n *Node) recordSilence(change silencer.Change, s *silence.Silence, peer string) {
	n.audit.RecordSilence(string(change), s, peer)
	n.link.OnSilence(change, s, peer)
	e := s.Entry()
	switch change {
	case silencer.Added:
		n.log.Info("silence added", "silence", e.ID, "selects", e.Selects(), "times", e.Times(), "by", e.By, "comment", e.Comment, "peer", peer)
	case silencer.Ended:
		n.log.Info("silence ended", "silence", e.ID, "selects", e.Selects(), "by", e.EndedBy, "peer", peer)
	}
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
	if n.clustered != nil {
		set.ReconnectGrace = max(set.ReconnectGrace, n.clustered.pace.grace)
	}
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
