package presence

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/wazuh-pulse/pulse/internal/remote"
)

// follow opens another connection of a node.
func (n *joinedNode) follow(srv *server.Server) *remote.Remote {
	n.t.Helper()
	r, err := remote.Open(remote.Config{URL: srv.ClientURL(), ReconnectDelay: 20 * time.Millisecond, Admit: n.watcher.AdmitFollower, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(r.Close)
	return r
}

func TestAnotherConnectionOfANodeMayPublishWhileTheNodeMay(t *testing.T) {
	t.Parallel()
	srv := startServer(t)
	quick := func(t *timing) { t.alone, t.settle = 50*time.Millisecond, 100*time.Millisecond }
	older := joinNode(t, srv, 100, quick)
	older.waitForAdmission()
	younger := joinNode(t, srv, 101, quick)
	second := younger.follow(srv)
	younger.waitForState("held", held)
	if s, err := second.Session(expired()); err == nil {
		t.Fatalf("it has the session %v beside the older node", s)
	}
	older.stopNode()
	younger.waitForAdmission()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	session, err := second.Session(ctx)
	if err != nil {
		t.Fatal(err)
	}
	younger.watcher.recordStatement([]byte(`{"node":"node01","instance":"x","epoch":102,"publishing":true}`), time.Now())
	younger.waitForState("held again", held)
	select {
	case <-session.Ended():
	case <-ctx.Done():
		t.Fatal("the other connection is kept beside one that goes first")
	}
}

func expired() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
