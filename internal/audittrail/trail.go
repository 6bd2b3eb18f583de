// Package audittrail writes a node's audit log: what the node decided, what changed in
// its settings and keys, who was refused, and how many messages were published.
//
// A [Trail] may be used concurrently, except for the methods of the recorder, as they
// state. None waits for the disk but [Trail.Sync] and [Trail.Close]. [Trail.Start] starts
// a goroutine, which ends with [Trail.FlushSums].
package audittrail

import (
	"encoding/json"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/audit"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/statedir"
)

// The kinds of line that a node writes, besides the log's own.
const (
	kindStart         = "start"
	kindStop          = "stop"
	kindSetting       = "setting"        // one differs from the last start
	kindKey           = "key"            // a file of keys or of a login differs
	kindAgents        = "agents"         // the agents in client.keys changed
	kindTransition    = "transition"     // a status change
	kindAlert         = "alert"          // a status change whose alert was held
	kindFlapping      = "flapping"       // an agent's
	kindOutage        = "outage"         // a fleet's begins
	kindRecovery      = "recovery"       // it ends
	kindLull          = "lull"           // Pulse itself was stopped or starved
	kindKeepAlive     = "keepalive"      // one, or its outcome; with audit_detail full
	kindPublishing    = "publishing"     // sums of a minute
	kindPublishFailed = "publish_failed" // the local store took nothing
	kindDeadLetters   = "dead_letters"   // the number of messages set aside changed
	kindLost          = "lost"           // status changes were gone from the store at the start
	kindManager       = "manager"        // the problem of the manager that Pulse is attached to changed
	kindEpoch         = "epoch"          // the messages have another epoch than the start line, which another node has
	kindCondition     = "condition"      // a condition of the node began or ended
	kindSilence       = "silence"        // one was added, ended, or its time begins or is over
	kindRefused       = "refused"        // a peer on the agents' port, or a request to the console
	kindNodeLost      = "node_lost"      // another node of the cluster is lost
	kindNodeBack      = "node_back"      // this node is back in its cluster
	kindDuplicated    = "duplicated"     // two machines have the key of one agent
	kindNATS          = "nats"           // an event of the connection to the XDR's NATS
)

// Trail writes the audit log of a node. The zero value writes nothing.
type Trail struct {
	log         *audit.Log // nil: nothing is written
	key         *audit.Key
	full        atomic.Bool // keep-alives have a line each
	redactNames bool        // and addresses, which are secret where messages are encrypted
	baseline    *baseline
	attrs       []slog.Attr // of one decision; for the recorder

	sums           audit.Sums // the recorder's
	managerProblem string     // the recorder's
	nats           audit.Repeats
	peers          audit.Repeats

	mu         sync.Mutex
	throughput func() Throughput // nil without NATS
	failure    error             // why the node ends

	last    Throughput // of the goroutine
	stop    chan struct{}
	running sync.WaitGroup
}

// Dir returns where a node that keeps its state in a directory has its audit log.
func Dir(stateDir string) string { return filepath.Join(stateDir, "audit") }

// KeyPath returns the file of the key that the log is signed with.
func KeyPath(stateDir string) string { return filepath.Join(stateDir, "audit.jwk") }

// PublicKeysPath returns the file of the public keys to verify the log with.
func PublicKeysPath(stateDir string) string { return audit.PublicPath(KeyPath(stateDir)) }

// LastEpoch returns the epoch of the last start in the audit log of a node that keeps its
// state in a directory; 0 for none.
func LastEpoch(stateDir string) (uint64, error) {
	line, err := audit.Last(Dir(stateDir), kindStart)
	if err != nil || line == nil {
		return 0, err
	}
	var start struct {
		Epoch uint64 `json:"epoch"`
	}
	if json.Unmarshal(line.Text, &start) != nil {
		return 0, nil // it is not a line that a node wrote
	}
	return start.Epoch, nil
}

// Open opens the audit log. If the settings want none, the trail writes nothing, and a
// log of earlier starts gets a line that it was switched off.
func Open(cfg *config.Config, log *slog.Logger) (*Trail, error) {
	if cfg.NATS.AuditLogging {
		return open(cfg, log)
	}
	if err := recordSwitchedOff(cfg, log); err != nil {
		log.Warn("cannot record in the audit log that it is switched off", "err", err)
	}
	return new(Trail), nil
}

func open(cfg *config.Config, log *slog.Logger) (_ *Trail, err error) {
	t := new(Trail)
	t.full.Store(cfg.NATS.AuditDetail == "full")
	t.redactNames = cfg.NATS.Enabled && cfg.NATS.EncryptMessages
	if t.key, err = audit.OpenKey(KeyPath(cfg.Pulse.StateDir)); err != nil {
		return nil, err
	}
	if t.baseline, err = readBaseline(cfg.Pulse.StateDir); err != nil {
		return nil, err
	}
	if t.log, err = audit.Open(audit.Config{Dir: Dir(cfg.Pulse.StateDir), Max: cfg.NATS.AuditLimit, Signer: t.key, Ready: t.key.WriteFiles, Log: log}); err != nil {
		return nil, err
	}
	t.nats = audit.Repeats{Log: t.log, Kind: kindNATS}
	t.peers = audit.Repeats{Log: t.log, Kind: kindRefused}
	return t, nil
}

// recordSwitchedOff adds to the audit log of the last start, if there was one, that
// there is none from now on, and whatever else was changed.
func recordSwitchedOff(cfg *config.Config, log *slog.Logger) error {
	last, err := readBaseline(cfg.Pulse.StateDir)
	if err != nil || last.Settings["ossec_config/nats/audit_logging"] != "yes" {
		return nil // no node's start fails by that
	}
	t, err := open(cfg, log)
	if err != nil {
		return err
	}
	t.compareBaseline(cfg)
	return errors.Join(t.baseline.save(), t.log.Close())
}

// Start records the start of the node, and what differs from the last start.
func (t *Trail) Start(cfg *config.Config, version string, epoch uint64, pending *statedir.PendingWrites) error {
	if t.log == nil {
		return nil
	}
	t.log.Add(kindStart, slog.String("version", version), slog.String("node", cfg.Pulse.NodeName), slog.Uint64("epoch", epoch),
		slog.String("audit_key", t.key.KeyID()), slog.String("settings", digestSettings(listSettings(cfg))))
	t.compareBaseline(cfg)
	t.stop = make(chan struct{})
	t.running.Go(t.recordSums)
	err := t.baseline.save()
	if statedir.IsFull(err) {
		pending.Postpone("audit.json", err, t.baseline.save)
		err = nil
	}
	return err
}

// Reload records what differs in settings that are in effect from now on.
func (t *Trail) Reload(cfg *config.Config, pending *statedir.PendingWrites) {
	if t.log == nil {
		return
	}
	t.full.Store(cfg.NATS.AuditDetail == "full")
	t.compareBaseline(cfg)
	if err := t.baseline.save(); err != nil {
		pending.Postpone("audit.json", err, t.baseline.save)
	}
}

// recordSums writes sums every minute.
func (t *Trail) recordSums() {
	minute := time.NewTicker(time.Minute)
	defer minute.Stop()
	for {
		select {
		case now := <-minute.C:
			t.recordMinute(now)
		case <-t.stop:
			t.recordMinute(time.Now())
			return
		}
	}
}

func (t *Trail) recordMinute(now time.Time) {
	t.nats.WriteCounts(now)
	t.peers.WriteCounts(now)
	t.mu.Lock()
	read := t.throughput
	t.mu.Unlock()
	if read != nil {
		current := read()
		t.recordThroughput(&current, now)
		t.last = current
	}
}

// SetThroughput sets what the sums of messages are read from.
func (t *Trail) SetThroughput(read func() Throughput) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.throughput = read
}

// SetFailure sets why the node ends; nil if it ends in order.
func (t *Trail) SetFailure(err error) {
	if err == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failure = err
}

// FlushSums writes the last sums, while what they are read from is still open. The
// recorder must have ended.
func (t *Trail) FlushSums() {
	if t.stop != nil {
		close(t.stop)
		t.running.Wait()
	}
	t.sums.Flush(t.log)
}

// Close records that the node ends, and closes the log.
func (t *Trail) Close() error {
	t.nats.WriteCounts(time.Now())
	var attrs []slog.Attr
	if t.failure != nil {
		attrs = append(attrs, slog.String("error", boundText(t.failure.Error())))
	}
	t.log.Add(kindStop, attrs...)
	return t.log.Close()
}

// Sync writes all lines to the disk.
func (t *Trail) Sync() { t.log.Sync() }

// Status is the state of the audit log.
type Status struct {
	State   event.State `json:"state"`
	Since   time.Time   `json:"since,omitzero"`    // of a problem
	Problem string      `json:"problem,omitempty"` // while it cannot be written
	Missing uint64      `json:"missing"`           // lines that could not be kept since the node started
	audit.Head
}

// Status returns the state of the log; nil if nothing is written.
func (t *Trail) Status() *Status {
	if t.log == nil {
		return nil
	}
	s := t.log.State()
	now := &Status{State: event.AuditWriting, Missing: s.Missing, Head: s.Head}
	if s.Err != nil {
		now.State, now.Since, now.Problem = event.AuditFailing, s.Since.UTC(), s.Err.Error()
	}
	return now
}

// boundText cuts text of foreign origin to what a line has room for.
func boundText(s string) string {
	const limit = 500
	if len(s) > limit {
		s = s[:limit] + "…"
	}
	return s
}
