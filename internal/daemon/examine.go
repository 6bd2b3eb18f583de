package daemon

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"syscall"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/attach"
	"github.com/wazuh-pulse/pulse/internal/audit"
	"github.com/wazuh-pulse/pulse/internal/audittrail"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/keys"
	"github.com/wazuh-pulse/pulse/internal/outbox"
	"github.com/wazuh-pulse/pulse/internal/remote"
	"github.com/wazuh-pulse/pulse/internal/sealing"
)

// Attaches reports whether a node with these settings has a stock manager's agents.
func Attaches(cfg *config.Config) (bool, error) {
	if cfg.Pulse.Link != "auto" {
		return cfg.Pulse.Link == "attach", nil
	}
	return attach.IsInstalled(cfg.Pulse.Home)
}

// ExamineManager tries the sockets of the manager that a node would attach to.
func ExamineManager(ctx context.Context, cfg *config.Config) ([]attach.SocketCheck, error) {
	method, err := detector.ParseMethod(cfg.KeepAlive.Method)
	if err != nil {
		return nil, err
	}
	place, _, err := readClusterRole(cfg)
	if err != nil {
		return nil, err
	}
	return attach.CheckSockets(ctx, attach.Config{Home: cfg.Pulse.Home, Cluster: place, Method: method, UpdateStatus: cfg.Pulse.UpdateStatus}), nil
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

// FindStatusStorage asks the server which streams there are. An error means that it
// did not answer.
func FindStatusStorage(ctx context.Context, cfg *config.Config, s *remote.Session) (StatusStorage, error) {
	found := StatusStorage{Subject: event.Prefix(cfg.NATS.SubjectPrefix).StatusChange("*")}
	found.Stored = outbox.Covers(outbox.StoredSubjects(outboxDir(cfg)), found.Subject)
	listed, err := outbox.ListedSubjects(ctx, s.Conn, cfg.NATS.SubjectPrefix, listWait)
	found.Listed = outbox.Covers(listed, found.Subject)
	return found, err
}
