package daemon

import (
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/attach"
	"github.com/wazuh-pulse/pulse/internal/audit"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/listen"
	"github.com/wazuh-pulse/pulse/internal/message"
	"github.com/wazuh-pulse/pulse/internal/outbox"
	"github.com/wazuh-pulse/pulse/internal/remote"
	"github.com/wazuh-pulse/pulse/internal/statedir"
)

// The kinds of line that a node writes into its audit log, besides the log's own.
const (
	auditStart         = "start"
	auditStop          = "stop"
	auditSetting       = "setting"        // one that is not what it was at the last start
	auditKey           = "key"            // a file of keys or of a login is not what it was
	auditAgents        = "agents"         // who is in client.keys changed
	auditTransition    = "transition"     // a status change
	auditAlert         = "alert"          // a status change whose alert had waited
	auditFlapping      = "flapping"       // an agent's
	auditOutage        = "outage"         // a fleet's begins
	auditRecovery      = "recovery"       // it ends
	auditLull          = "lull"           // Pulse itself was away
	auditKeepAlive     = "keepalive"      // one, or what became of it; with audit_detail full
	auditPublishing    = "publishing"     // sums of a minute
	auditPublishFailed = "publish_failed" // the local store took nothing
	auditDeadLetters   = "dead_letters"   // how many messages are set aside changed
	auditLost          = "lost"           // status changes were gone from the store at the start
	auditManager       = "manager"        // what is wrong with the manager that Pulse is attached to changed
	auditEpoch         = "epoch"          // the messages of this life have another epoch than its start line, which another node has
	auditCondition     = "condition"      // something began or ceased to be wrong with the node
	auditRefused       = "refused"        // a peer on the agents' port
	auditNATS          = "nats"           // what happened on the way to the XDR's NATS
)

// auditor keeps the audit log of what a node does. Nobody who tells it something
// waits for the disk. A nil one keeps none.
type auditor struct {
	log  *audit.Log
	key  *audit.Key
	full atomic.Bool // keep-alives have a line each
	mute bool        // of names and addresses, which are secret where messages are encrypted
	past *past

	sums  audit.Sums // the recorder's, as is link
	link  string     // what is wrong with the manager
	nats  audit.Repeats
	peers audit.Repeats

	mu      sync.Mutex
	passage func() passage // nil without NATS
	because error          // why the node ends

	last    passage // the goroutine's
	stop    chan struct{}
	running sync.WaitGroup
}

func auditDir(cfg *config.Config) string { return AuditDir(cfg.Pulse.StateDir) }

// AuditDir is where a node that keeps its state in a directory has its audit log,
// and AuditKeys the file of the public keys to verify it with.
func AuditDir(stateDir string) string  { return filepath.Join(stateDir, "audit") }
func AuditKeys(stateDir string) string { return audit.PublicPath(auditKeyPath(stateDir)) }

func auditKeyPath(stateDir string) string { return filepath.Join(stateDir, "audit.jwk") }

// openAuditor opens the audit log, or returns nil if there shall be none.
func openAuditor(cfg *config.Config, log *slog.Logger) (_ *auditor, err error) {
	if !cfg.NATS.AuditLogging {
		switchedOff(cfg, log)
		return nil, nil
	}
	a := &auditor{stop: make(chan struct{})}
	a.full.Store(cfg.NATS.AuditDetail == "full")
	if a.key, err = audit.OpenKey(auditKeyPath(cfg.Pulse.StateDir)); err != nil {
		return nil, err
	}
	if a.past, err = readPast(cfg.Pulse.StateDir); err != nil {
		return nil, err
	}
	if a.log, err = audit.Open(audit.Config{Dir: auditDir(cfg), Max: cfg.NATS.AuditLimit, Signer: a.key, Ready: a.key.WriteFiles, Log: log}); err != nil {
		return nil, err
	}
	a.nats = audit.Repeats{Log: a.log, Kind: auditNATS}
	a.peers = audit.Repeats{Log: a.log, Kind: auditRefused}
	return a, nil
}

// started says who begins, and what is not as it was when the last life began.
func (a *auditor) started(cfg *config.Config, version string, epoch uint64, pending *statedir.PendingWrites) error {
	if a == nil {
		return nil
	}
	settings := settingsOf(cfg)
	a.log.Add(auditStart, slog.String("version", version), slog.String("node", cfg.Pulse.NodeName), slog.Uint64("epoch", epoch),
		slog.String("audit_key", a.key.KeyID()), slog.String("settings", digestOf(settings)))
	a.compare(settings, keyFiles(cfg, a.key))
	a.running.Go(a.run)
	err := a.past.keep()
	if statedir.IsFull(err) {
		pending.Postpone("audit.json", err, a.past.keep)
		err = nil
	}
	return err
}

// epochRaised notes that this life's messages have another epoch than was counted.
func (a *auditor) epochRaised(epoch uint64) {
	if a != nil {
		a.log.Add(auditEpoch, slog.Uint64("epoch", epoch))
	}
}

// run writes sums, minute by minute.
func (a *auditor) run() {
	minute := time.NewTicker(time.Minute)
	defer minute.Stop()
	for {
		select {
		case now := <-minute.C:
			a.tell(now)
		case <-a.stop:
			a.tell(time.Now())
			return
		}
	}
}

// confide keeps names out of the log, where nobody but the recipients of messages
// shall learn them.
func (a *auditor) confide(yes bool) {
	if a != nil {
		a.mute = yes
	}
}

// watch gives the auditor what to look at.
func (a *auditor) watch(passage func() passage) {
	if a != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.passage = passage
	}
}

func (a *auditor) tell(now time.Time) {
	a.nats.Tell(now)
	a.peers.Tell(now)
	a.mu.Lock()
	ask := a.passage
	a.mu.Unlock()
	if ask != nil {
		p := ask()
		a.passed(p, now)
		a.last = p
	}
}

// failed notes why the node ends, if it is not that it was told to.
func (a *auditor) failed(err error) {
	if a == nil || err == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.because = err
}

// settle writes the last sums, while what they are about can still be asked. The
// recorder has ended.
func (a *auditor) settle() {
	if a == nil {
		return
	}
	close(a.stop)
	a.running.Wait()
	a.sums.Flush(a.log)
}

// close says that the node ends, and closes the log.
func (a *auditor) close() error {
	if a == nil {
		return nil
	}
	a.nats.Tell(time.Now())
	var attrs []slog.Attr
	if a.because != nil {
		attrs = append(attrs, slog.String("error", bounded(a.because.Error())))
	}
	a.log.Add(auditStop, attrs...)
	return a.log.Close()
}

// state is how the log is doing; nil for none.
func (a *auditor) state() *Audit {
	if a == nil {
		return nil
	}
	s := a.log.State()
	now := &Audit{State: event.AuditWriting, Missing: s.Missing, Head: s.Head}
	if s.Err != nil {
		now.State, now.Since, now.Problem = event.AuditFailing, s.Since.UTC(), s.Err.Error()
	}
	return now
}

// refused takes a refusal of the agents' link.
func (a *auditor) refused(r listen.Refusal) {
	if a == nil {
		return
	}
	attrs := []slog.Attr{slog.String("reason", r.Reason)}
	if r.From.IsValid() {
		attrs = append(attrs, slog.String("peer", r.From.String()))
	}
	if r.Agent != "" {
		attrs = append(attrs, slog.String("agent", r.Agent))
	}
	if !a.mute {
		attrs = append(attrs, slog.String("error", bounded(r.Err.Error())))
	}
	a.peers.Add(r.Reason+" "+r.From.Addr().String()+" "+r.Agent, attrs...)
}

// refusedByConsole takes a refused request.
func (a *auditor) refusedByConsole(from, reason string) {
	if a == nil {
		return
	}
	host, _, _ := net.SplitHostPort(from)
	a.peers.Add(reason+" "+host, slog.String("reason", reason), slog.String("peer", from))
}

// heard takes an event on the way to the XDR's NATS. What comes with every try is
// summed up; what ends or begins with it has a line and its time.
func (a *auditor) heard(e remote.Event, err error) {
	if a == nil {
		return
	}
	add := a.nats.Add
	if e == remote.Unavailable || e == remote.Available {
		add = func(_ string, attrs ...slog.Attr) { a.log.Add(auditNATS, attrs...) }
	}
	for _, f := range remote.Failures(err) {
		add(string(e)+" "+f.Server+" "+string(f.Problem), slog.String("event", string(e)), slog.String("server", f.Server),
			slog.String("problem", string(f.Problem)), slog.Bool("login_refused", f.Problem.RefusesLogin()), slog.String("error", bounded(f.What())))
	}
	if err == nil {
		add(string(e), slog.String("event", string(e)))
	}
	if e == remote.Renewed {
		a.log.Add(auditKey, slog.String("file", "nats login or TLS"), slog.String("change", "in use"))
	}
}

// caughtUp takes that the XDR's NATS has all that waited for it, in a stream.
func (a *auditor) caughtUp(c outbox.Class, messages uint64, after time.Duration) {
	if a != nil {
		a.log.Add(auditNATS, slog.String("event", "caught_up"), slog.String("stream", c.String()), slog.Uint64("messages", messages),
			slog.String("after", after.Round(time.Millisecond).String()))
	}
}

// decided takes what the recorder is about to publish.
func (a *auditor) decided(r *message.Record) {
	if a == nil {
		return
	}
	if r.Verdict.IsRoutine() {
		a.keepAlive(r)
		return
	}
	about := []slog.Attr{slog.String("agent", r.ID.String())}
	if !a.mute {
		about = append(about, slog.String("name", r.Name), slog.String("ip", r.IP))
	}
	happened := slog.String("at", r.Time.UTC().Format(time.RFC3339))
	switch r.Verdict {
	case detector.Changed, detector.AlertReleased:
		kind := auditTransition
		if r.Verdict == detector.AlertReleased {
			kind = auditAlert
		}
		about = append(about, slog.String("from", r.From.String()), slog.String("to", r.To.String()),
			slog.String("reason", r.Reason.String()), slog.Int("missed", r.Missed), slog.Bool("outage", r.Outage), happened)
		if r.Changes > 0 {
			about = append(about, slog.Int("changes", r.Changes))
		}
		a.log.Add(kind, about...)
	case detector.Flapping:
		a.log.Add(auditFlapping, append(about, slog.Int("changes", r.Changes), happened)...)
	case detector.OutageBegan, detector.OutageEnded:
		kind := auditOutage
		if r.Verdict == detector.OutageEnded {
			kind = auditRecovery
		}
		f := r.Fleet
		a.log.Add(kind, slog.Int("watched", f.Watched), slog.Int("lost", f.Lost), slog.Int("connections_closed", f.Closed),
			slog.Int("fell_silent", f.Silent), slog.Int("back", f.Back), happened)
	case detector.Resumed:
		a.log.Add(auditLull, slog.String("for", r.Pause.Round(time.Millisecond).String()), happened)
	}
}

var outcomes = map[detector.Verdict]audit.Outcome{detector.Send: audit.Sent, detector.Acknowledged: audit.Answered, detector.Failed: audit.Failed}

func (a *auditor) keepAlive(r *message.Record) {
	outcome := outcomes[r.Verdict]
	if r.SendErr != nil {
		outcome = audit.Failed
	}
	if !a.full.Load() {
		a.sums.Count(a.log, time.Now(), uint32(r.ID), outcome)
		return
	}
	attrs := []slog.Attr{slog.String("agent", r.ID.String()), slog.String("result", outcome.String())}
	switch {
	case r.SendErr != nil:
		attrs = append(attrs, slog.String("error", bounded(r.SendErr.Error())))
	case r.Verdict == detector.Acknowledged:
		attrs = append(attrs, slog.Duration("rtt_ns", r.RTT))
	case r.Verdict == detector.Failed:
		attrs = append(attrs, slog.Int("missed", r.Missed))
	}
	a.log.Add(auditKeepAlive, attrs...)
}

// minute is for the recorder to call from time to time, so that sums are told
// though no keep-alive is sent.
func (a *auditor) minute() {
	if a != nil {
		a.sums.Tell(a.log, time.Now())
	}
}

// linked looks at how the link to a stock manager is; nil for another link.
func (a *auditor) linked(l *attach.Stats) {
	if a != nil && l != nil && l.Problem != a.link {
		a.link = l.Problem
		a.log.Add(auditManager, slog.String("problem", bounded(l.Problem)))
	}
}

// condition notes that a condition of the node began or ended.
func (a *auditor) condition(c *Condition, state event.State) {
	if a != nil {
		a.log.Add(auditCondition, slog.String("code", c.Code), slog.String("state", string(state)), slog.Bool("failure", c.Failure), slog.String("problem", bounded(c.Problem)))
	}
}

// sync waits for the disk, as nothing else does.
func (a *auditor) sync() {
	if a != nil {
		a.log.Sync()
	}
}

// unpublished notes that the local store did not take messages.
func (a *auditor) unpublished(messages int, err error) {
	if a != nil {
		a.log.Add(auditPublishFailed, slog.Int("messages", messages), slog.String("error", bounded(err.Error())))
	}
}

// bounded is a text of somebody else's, of which a line has room for this much.
func bounded(s string) string {
	const most = 500
	if len(s) > most {
		s = s[:most] + "…"
	}
	return s
}
