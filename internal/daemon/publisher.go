package daemon

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/audittrail"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/epoch"
	"github.com/wazuh-pulse/pulse/internal/history"
	"github.com/wazuh-pulse/pulse/internal/jsdomain"
	"github.com/wazuh-pulse/pulse/internal/message"
	"github.com/wazuh-pulse/pulse/internal/natsserver"
	"github.com/wazuh-pulse/pulse/internal/outbox"
	"github.com/wazuh-pulse/pulse/internal/presence"
	"github.com/wazuh-pulse/pulse/internal/remote"
	"github.com/wazuh-pulse/pulse/internal/republisher"
	"github.com/wazuh-pulse/pulse/internal/roster"
	"github.com/wazuh-pulse/pulse/internal/sealing"
	"github.com/wazuh-pulse/pulse/internal/statedir"
)

// Publisher makes messages of a detector's decisions and publishes them. It owns the
// state directory.
type Publisher struct {
	state      *statedir.Dir
	pending    *statedir.PendingWrites
	hub        *natsserver.Hub   // nil without <nats><server_config>
	remote     *remote.Remote    // nil without <nats><server_url>
	presence   *presence.Watcher // nil as is remote
	outbox     *outbox.Outbox    // nil with NATS disabled
	backlog    *backlog
	groups     []message.Group // by number; of the goroutine that decides
	recorder   *recorder
	ocsf       *republisher.Republisher // nil without <nats><ocsf_subject>
	sealer     *sealing.Sealer          // nil with NATS disabled
	dropped    riseWatch                // of keep-alive events
	audit      *audittrail.Trail
	unlogged   riseWatch           // of lines of the audit log
	panics     riseWatch           // of the link's connections
	reusedIDs  riseWatch           // of messages whose ID somebody else had used
	serverNode string              // that runs the NATS server; "" for none
	lost       []message.LostAgent // by a run before: see clusterPart.completeDeclarations
	stated     []message.StatedAgent
	announced  []message.NodeAlert
	noBuckets  bool // nothing is written to buckets that others share
	expiries   expiryCache
	space      spaceWatch
	prefix     event.Prefix
	log        *slog.Logger
}

// OpenPublisher opens the state directory and what publishes. The version is that of
// the software.
func OpenPublisher(ctx context.Context, cfg *config.Config, version string, log *slog.Logger) (_ *Publisher, err error) {
	p := &Publisher{backlog: newBacklog(), serverNode: cfg.NATS.ServerNode, groups: messageGroups(cfg), noBuckets: cfg.NATS.NoRoster, audit: new(audittrail.Trail), pending: &statedir.PendingWrites{Log: log},
		prefix: event.Prefix(cfg.NATS.SubjectPrefix), expiries: expiryCache{cfg: *cfg}, log: log}
	defer func() {
		if err != nil {
			p.audit.SetFailure(err)
			err = errors.Join(err, p.Close())
		}
	}()
	if p.state, err = statedir.Open(cfg.Pulse.StateDir); err != nil {
		return nil, err
	}
	p.space.space = statedir.OpenSpace(cfg.Pulse.StateDir)
	if p.state.Caution != nil {
		log.Error("the state directory is not as it should be", "err", p.state.Caution)
	}
	if p.state.Unlocked != nil {
		p.pending.Postpone("lock", p.state.Unlocked, p.state.Lock)
	}
	trail, err := audittrail.Open(cfg, log) // first: it records what follows
	if err != nil {
		return nil, err
	}
	p.audit = trail
	var unsealed error
	if cfg.NATS.Enabled { // before the audit log looks at the keys, some of which may be made here
		p.sealer, unsealed = sealing.Open(cfg, p.pending)
	}
	if p.sealer != nil && p.sealer.FormerName != "" {
		log.Warn("this node has another name than at its last start: readers that verify refuse its messages until they have its public keys anew",
			"was", p.sealer.FormerName, "is", cfg.Pulse.NodeName)
	}
	number, err := epoch.Next(cfg.Pulse.StateDir, time.Now(), p.pending, log)
	if err != nil {
		return nil, &statedir.Error{Op: "count the node's starts in <pulse><state_dir>", Err: err}
	}
	if err := p.audit.Start(cfg, version, number, p.pending); err != nil {
		return nil, err
	}
	if cfg.NATS.Enabled {
		if unsealed != nil {
			return nil, unsealed
		}
		if err := p.openOutbox(ctx, cfg, number, log); err != nil {
			return nil, err
		}
		if number, err = p.chooseEpoch(ctx, cfg.Pulse.StateDir, number, log); err != nil {
			return nil, err
		}
	}
	if p.ocsf, err = p.openRepublisher(ctx, cfg); err != nil {
		return nil, err
	}
	p.recorder = &recorder{backlog: p.backlog, outbox: p.outbox, status: p.status,
		statusLog: &statusLogger{log: log}, audit: p.audit, sealer: p.sealer, keepAlives: cfg.NATS.KeepAliveEvents, pending: p.pending, log: log,
		writer:  message.NewWriter(message.Source{Node: cfg.Pulse.NodeName, Version: version, Epoch: number}, p.prefix),
		started: time.Now(), sentFile: sentFile(cfg)}
	if p.outbox != nil {
		p.audit.SetThroughput(func() audittrail.Throughput {
			return audittrail.Throughput{Stats: p.outbox.Stats(), Unstored: p.recorder.dropped.Load()}
		})
	}
	return p, nil
}

// openOutbox opens the outbox, and the connection to the XDR's NATS if there is one.
func (p *Publisher) openOutbox(ctx context.Context, cfg *config.Config, epoch uint64, log *slog.Logger) (err error) {
	out := outbox.Config{Prefix: cfg.NATS.SubjectPrefix, Dir: outboxDir(cfg),
		Listen: cfg.NATS.Listen, TelemetryLimit: cfg.Pulse.TelemetryLimit, StatusLimit: cfg.Pulse.StatusLimit, CaughtUp: p.audit.RecordCaughtUp, Log: log}
	if cfg.NATS.ServerURL != "" {
		if cfg.NATS.ServerConfig != "" {
			if p.hub, err = natsserver.StartHub(cfg.NATS.ServerConfig, log); err != nil {
				return err
			}
		}
		way := RemoteConfig(cfg, log)
		way.Tell = p.audit.RecordRemoteEvent
		p.presence = p.openPresence(cfg, epoch, log)
		way.Admit = p.presence.Admit
		if p.remote, err = remote.Open(way); err != nil {
			return err
		}
		out.Listen, out.Remote = "", p.remote
	}
	p.outbox, err = outbox.Open(ctx, out)
	return err
}

func outboxDir(cfg *config.Config) string { return filepath.Join(cfg.Pulse.StateDir, "outbox") }

// Running reports whether a node works with the state directory of the settings.
func Running(cfg *config.Config) bool { return statedir.InUse(cfg.Pulse.StateDir) }

// RemoteConfig returns how to connect to <nats><server_url> by the settings.
func RemoteConfig(cfg *config.Config, log *slog.Logger) remote.Config {
	n := &cfg.NATS
	return remote.Config{URL: n.ServerURL, Node: cfg.Pulse.NodeName,
		CredentialsFile: n.CredentialsFile, NKeyFile: n.NKeyFile, User: n.User, PasswordFile: n.PasswordFile, TokenFile: n.TokenFile,
		Needs: []string{event.Prefix(n.SubjectPrefix).ManagerStatus(cfg.Pulse.NodeName)},
		CA:    n.TLSCA, Cert: n.TLSCert, Key: n.TLSKey, MaxReconnects: n.MaxReconnects, JetStreamDomain: jsdomain.Domain(n.JetStreamDomain), ReconnectDelay: n.ReconnectDelay, Log: log}
}

// Decide adds decisions of a detector. It waits while far too many are not published
// yet. One goroutine may call it.
func (p *Publisher) Decide(decisions []detector.Decision) {
	for i := range decisions {
		p.backlog.put(p.newRecord(&decisions[i]))
	}
}

func (p *Publisher) newRecord(d *detector.Decision) message.Record {
	return message.Record{Decision: *d, Group: &p.groups[d.Group]}
}

// natsEnabled reports whether there are messages at all; otherwise decisions are only
// logged.
func (p *Publisher) natsEnabled() bool { return p.outbox != nil }

// source returns the node, version and epoch of the messages.
func (p *Publisher) source() *message.Source { return p.recorder.writer.Source }

// reader returns a reader of what earlier runs of the node stored. NATS must be enabled.
func (p *Publisher) reader() *message.Reader {
	return &message.Reader{Outbox: p.outbox, Prefix: p.prefix, Open: p.sealer.OpenStored, Log: p.log, SentFile: p.recorder.sentFile}
}

// sentFile returns the file of the published alerts.
func sentFile(cfg *config.Config) string { return filepath.Join(cfg.Pulse.StateDir, "alerts.json") }

// restoreAgents gives the detector, which has these settings, the agents' states of
// earlier runs.
func (p *Publisher) restoreAgents(ctx context.Context, clock *detector.Clock, set *detector.Settings, to *detector.Detector) (err error) {
	if !p.natsEnabled() {
		return nil
	}
	from := p.reader()
	from.EscalateAfter = set.EscalateAfter
	from.GroupOf = func(a *detector.Restored) *message.Group {
		if set.GroupOf == nil {
			return &p.groups[0]
		}
		return &p.groups[set.GroupOf(a.ID, a.Name, a.Addr, a.Info)]
	}
	p.recorder.writer.Sent, err = from.RestoreAgents(ctx, clock, to)
	p.lost, p.stated = from.Lost, from.Stated
	if err != nil {
		return err
	}
	p.recorder.saveSentAlerts(ctx)
	p.announced, err = from.ReadNodeAlerts(ctx, time.Now().Add(-announcedPeriod))
	return err
}

// announcedPeriod is how long ago an alert of a node may have been published that the run before
// this one may have had no time to record for the other nodes.
const announcedPeriod = time.Hour

const (
	// restoredEvents is how many stored messages the console shows after a start.
	restoredEvents = 20_000
	// restoredEncrypted is how many if they have to be decrypted, which takes 0.2 ms each.
	restoredEncrypted = 2_000
)

// readEvents returns the last events of earlier runs.
func (p *Publisher) readEvents(ctx context.Context) ([]history.Event, error) {
	if p.sealer.HasEncrypted() {
		return p.reader().ReadEvents(ctx, restoredEncrypted)
	}
	return p.reader().ReadEvents(ctx, restoredEvents)
}

// readChanges calls each with the stored status changes since a time: of one agent, or, for nil,
// of all in earlier runs. It returns since when none is left out: of encrypted ones only so many
// are decrypted.
func (p *Publisher) readChanges(ctx context.Context, since time.Time, id *detector.AgentID, each func(*history.Event)) (from time.Time, err error) {
	switch {
	case id != nil:
		return since, p.reader().ReadChanges(ctx, since, id, 0, each)
	case !p.sealer.HasEncrypted():
		return since, p.reader().ReadChanges(ctx, since, nil, p.source().Epoch, each)
	}
	began := time.Now().Truncate(time.Second)
	events, err := p.reader().ReadEvents(ctx, restoredEncrypted)
	if len(events) >= restoredEncrypted/2 && events[0].Known.After(since) { // copies of losses are left out
		since = events[0].Known
	}
	for i := range events {
		if e := &events[i]; e.Kind == history.Change && !e.Known.Before(since) && e.Known.Before(began) {
			each(e)
		}
	}
	return since, err
}

// outboxErr returns why the outbox cannot store messages any more; nil if it can.
func (p *Publisher) outboxErr() error {
	if !p.natsEnabled() {
		return nil
	}
	return p.outbox.Err()
}

// prepareRecipients reads the recipients of other settings, and returns what applies them.
func (p *Publisher) prepareRecipients(cfg *config.Config) (apply func(), err error) {
	if p.sealer == nil {
		return func() {}, nil
	}
	replace, err := p.sealer.PrepareReload(cfg)
	return func() {
		if replace() {
			p.log.Info("messages are encrypted for other recipients", "recipients", strings.TrimSpace(p.sealer.RecipientIDs()))
		}
	}, err
}

// Run publishes until [Publisher.Finish], and all that was decided before. When
// ctx ends it gives up the rest, which is an error.
func (p *Publisher) Run(ctx context.Context) error { return p.recorder.run(ctx) }

// Finish ends the decisions: no more may be added.
func (p *Publisher) Finish() { p.backlog.close() }

// Passed returns how many messages of a class are on the local disk, and how many of
// those the XDR's NATS has. NATS must be enabled.
func (p *Publisher) Passed(c outbox.Class) (published, forwarded uint64) {
	return p.outbox.CountPassed(c)
}

// waitForForwarding waits until the XDR's NATS, if it is connected, has all that is
// published.
func (p *Publisher) waitForForwarding(atMost time.Duration) {
	if p.remote == nil {
		return
	}
	for deadline := time.Now().Add(atMost); time.Now().Before(deadline); time.Sleep(forwardPoll) {
		s := p.outbox.Stats()
		if !s.Connected || s.Status.Backlog+s.Telemetry.Backlog == s.Waiting() {
			return
		}
	}
}

// awaitForwarded waits until the XDR's NATS has confirmed all status messages up to a sequence.
func (p *Publisher) awaitForwarded(ctx context.Context, end uint64, atMost time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	for !p.outbox.IsForwarded(end) && pauseFor(ctx, forwardPoll) {
	}
}

// forwardedSoon is how many messages are forwarded in a moment.
const forwardedSoon = 1000

// isForwarding reports whether the XDR's NATS gets in a moment what is published now.
func (p *Publisher) isForwarding() bool {
	s := p.outbox.Stats()
	return s.Connected && s.Status.Backlog < forwardedSoon
}

// forwardPoll is the time between two checks of how far forwarding is.
const forwardPoll = 10 * time.Millisecond

// Close closes what is open.
func (p *Publisher) Close() (err error) {
	p.audit.FlushSums()
	if p.ocsf != nil {
		err = p.ocsf.Close()
	}
	if p.outbox != nil {
		err = errors.Join(err, p.outbox.Close())
	}
	if p.remote != nil {
		p.presence.Close()
		p.remote.Close()
	}
	if p.hub != nil {
		p.hub.Stop()
	}
	err = errors.Join(err, p.audit.Close())
	if p.state != nil {
		err = errors.Join(err, p.state.Close())
	}
	return err
}

// openRepublisher opens what publishes events of OCSF; nil if there is none.
func (p *Publisher) openRepublisher(ctx context.Context, cfg *config.Config) (*republisher.Republisher, error) {
	if p.remote == nil || cfg.NATS.OCSFSubject == "" {
		return nil, nil
	}
	return republisher.Open(ctx, republisher.Config{Outbox: p.outbox, Remote: p.remote, Subject: cfg.NATS.OCSFSubject, Node: cfg.Pulse.NodeName,
		KeyFile: filepath.Join(cfg.Pulse.StateDir, "ocsf.key"), Open: p.sealer.OpenStored, Seal: p.sealer.ValueSeal(), Log: p.log})
}

// openRoster opens what keeps the agents' present states in a bucket, where the messages
// go; nil if there is none. LatestOrder is the cluster's, nil outside one.
func (p *Publisher) openRoster(ctx context.Context, cfg *config.Config, latestOrder func() uint64) (*roster.Roster, error) {
	if !p.natsEnabled() || p.noBuckets {
		return nil, nil
	}
	return roster.Open(ctx, roster.Config{Outbox: p.outbox, Remote: p.remote, Prefix: p.prefix,
		Dir: cfg.Pulse.StateDir, Open: p.sealer.OpenStored, Seal: p.sealer.ValueSeal(), KeyID: p.sealer.KeyFingerprint(),
		Node: p.source().Node, Log: p.log, LatestOrder: latestOrder,
		Latest: func() (epoch, sequence uint64) { return p.source().Epoch, p.recorder.numbers.Load() }})
}
