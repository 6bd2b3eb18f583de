package daemon

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/audittrail"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/message"
	"github.com/wazuh-pulse/pulse/internal/outbox"
	"github.com/wazuh-pulse/pulse/internal/presence"
	"github.com/wazuh-pulse/pulse/internal/remote"
	"github.com/wazuh-pulse/pulse/internal/sealing"
	"github.com/wazuh-pulse/pulse/internal/statedir"
)

// Publisher is what a node has behind its detector: it makes messages of
// decisions and gets them out. It owns the state directory.
type Publisher struct {
	state     *statedir.Dir
	pending   *statedir.PendingWrites
	remote    *remote.Remote    // nil without <nats><server_url>
	presence  *presence.Watcher // nil as is remote
	outbox    *outbox.Outbox    // nil with NATS disabled
	backlog   *backlog
	groups    []message.Group // by number; of the goroutine that decides
	recorder  *recorder
	sealer    *sealing.Sealer // nil with NATS disabled
	drops     drops
	audit     *audittrail.Trail
	unlogged  drops // of its lines
	panics    drops // of the link's connections
	reusedIDs drops // of messages whose ID somebody else had used
	quiet     bool  // nothing goes into buckets that others share
	prefix    event.Prefix
	log       *slog.Logger
}

// OpenPublisher opens the way out. The version is that of the software.
func OpenPublisher(ctx context.Context, cfg *config.Config, version string, log *slog.Logger) (_ *Publisher, err error) {
	p := &Publisher{backlog: newBacklog(), groups: groups(cfg), quiet: cfg.NATS.NoRoster, audit: new(audittrail.Trail), pending: &statedir.PendingWrites{Log: log},
		prefix: event.Prefix(cfg.NATS.SubjectPrefix), log: log}
	defer func() {
		if err != nil {
			p.audit.SetFailure(err)
			err = errors.Join(err, p.Close())
		}
	}()
	if p.state, err = statedir.Open(cfg.Pulse.StateDir); err != nil {
		return nil, err
	}
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
	epoch, err := p.countEpoch(cfg.Pulse.StateDir, time.Now())
	if err != nil {
		return nil, &statedir.Error{Op: "count the node's starts in <pulse><state_dir>", Err: err}
	}
	if err := p.audit.Start(cfg, version, epoch, p.pending); err != nil {
		return nil, err
	}
	if cfg.NATS.Enabled {
		if unsealed != nil {
			return nil, unsealed
		}
		if err := p.openWayOut(ctx, cfg, epoch, log); err != nil {
			return nil, err
		}
		if epoch, err = p.settleEpoch(ctx, cfg.Pulse.StateDir, epoch, log); err != nil {
			return nil, err
		}
	}
	p.recorder = &recorder{backlog: p.backlog, outbox: p.outbox, status: p.status,
		journal: &journal{log: log}, audit: p.audit, sealer: p.sealer, pending: p.pending, log: log,
		writer:  message.NewWriter(message.Source{Node: cfg.Pulse.NodeName, Version: version, Epoch: epoch}, p.prefix),
		started: time.Now()}
	if p.outbox != nil {
		p.audit.SetThroughput(p.readThroughput)
	}
	return p, nil
}

// openWayOut opens the outbox, and the remote where there is one.
func (p *Publisher) openWayOut(ctx context.Context, cfg *config.Config, epoch uint64, log *slog.Logger) (err error) {
	out := outbox.Config{Prefix: cfg.NATS.SubjectPrefix, Dir: outboxDir(cfg),
		Listen: cfg.NATS.Listen, TelemetryLimit: cfg.Pulse.TelemetryLimit, CaughtUp: p.audit.RecordCaughtUp, Log: log}
	if cfg.NATS.ServerURL != "" {
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

// RemoteConfig is the way to <nats><server_url>, as whoever the settings say.
func RemoteConfig(cfg *config.Config, log *slog.Logger) remote.Config {
	n := &cfg.NATS
	return remote.Config{URL: n.ServerURL, Node: cfg.Pulse.NodeName,
		CredentialsFile: n.CredentialsFile, NKeyFile: n.NKeyFile, User: n.User, PasswordFile: n.PasswordFile, TokenFile: n.TokenFile,
		CA: n.TLSCA, Cert: n.TLSCert, Key: n.TLSKey, MaxReconnects: n.MaxReconnects, ReconnectDelay: n.ReconnectDelay, Log: log}
}

// Decide takes what a detector decided. It waits while far too much of it is
// not published yet. One goroutine may call it.
func (p *Publisher) Decide(decisions []detector.Decision) {
	for i := range decisions {
		p.backlog.put(p.newRecord(&decisions[i]))
	}
}

func (p *Publisher) newRecord(d *detector.Decision) message.Record {
	return message.Record{Decision: *d, Group: &p.groups[d.Group]}
}

// reader reads what earlier runs of the node stored. NATS must be enabled.
func (p *Publisher) reader() *message.Reader {
	return &message.Reader{Outbox: p.outbox, Prefix: p.prefix, Open: p.sealer.OpenStored, Log: p.log}
}

// Run publishes until [Publisher.Finish], and all that was decided before. When
// ctx ends it gives up the rest, which is an error.
func (p *Publisher) Run(ctx context.Context) error { return p.recorder.run(ctx) }

// Finish says that nothing more will be decided.
func (p *Publisher) Finish() { p.backlog.close() }

// Passed is how many messages of a class got out: onto the local disk, and of
// those to the XDR's NATS. NATS must be enabled.
func (p *Publisher) Passed(c outbox.Class) (published, forwarded uint64) { return p.outbox.Passed(c) }

func (p *Publisher) readThroughput() audittrail.Throughput {
	return audittrail.Throughput{Stats: p.outbox.Stats(), Unstored: p.recorder.dropped.Load()}
}

// handOver waits until the XDR's NATS, if it is there, has all that is published.
func (p *Publisher) handOver(atMost time.Duration) {
	if p.remote == nil {
		return
	}
	for deadline := time.Now().Add(atMost); time.Now().Before(deadline); time.Sleep(handOverPause) {
		s := p.outbox.Stats()
		if !s.Connected || s.Status.Backlog+s.Telemetry.Backlog == s.Waiting() {
			return
		}
	}
}

// handOverPause is between two looks at how far forwarding is.
const handOverPause = 10 * time.Millisecond

// Close closes the way out.
func (p *Publisher) Close() (err error) {
	p.audit.FlushSums()
	if p.outbox != nil {
		err = p.outbox.Close()
	}
	if p.remote != nil {
		p.presence.Close()
		p.remote.Close()
	}
	err = errors.Join(err, p.audit.Close())
	if p.state != nil {
		err = errors.Join(err, p.state.Close())
	}
	return err
}
