package daemon

import (
	"context"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/outbox"
	"github.com/wazuh-pulse/pulse/internal/remote"
)

// StatusStorage is who stores status changes at the XDR's NATS.
type StatusStorage struct {
	Subject string // of status changes
	Stored  bool   // a stream has acknowledged some to this node at some time
	Listed  bool   // the server lists a stream that takes them now
}

// listWait is for how long the server may take to list its streams.
const listWait = 2 * time.Second

// FindStatusStorage asks the server which streams there are. An error says that it
// did not answer.
func FindStatusStorage(ctx context.Context, cfg *config.Config, s *remote.Session) (StatusStorage, error) {
	found := StatusStorage{Subject: event.Prefix(cfg.NATS.SubjectPrefix).StatusChange("*")}
	found.Stored = outbox.Covers(outbox.StoredSubjects(outboxDir(cfg)), found.Subject)
	listed, err := outbox.ListedSubjects(ctx, s.Conn, cfg.NATS.SubjectPrefix, listWait)
	found.Listed = outbox.Covers(listed, found.Subject)
	return found, err
}
