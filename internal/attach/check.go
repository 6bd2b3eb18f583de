package attach

import (
	"context"
	"fmt"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/remoted"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
	"github.com/wazuh-pulse/pulse/internal/wazuhsock"
)

// SocketCheck is what one of the manager's sockets came to, or a caution.
type SocketCheck struct {
	Daemon  string // who serves it
	Result  string // what it said, if all is well
	Err     error  // with the way out
	Caution string // what should be known though all is well
	Hint    string // of a caution
}

// socketCheckTimeout is how long a socket may take.
const socketCheckTimeout = 5 * time.Second

// CheckSockets tries once each socket of the manager in a directory that a [Link] with
// these settings uses, and asks no agent anything.
func CheckSockets(ctx context.Context, cfg Config) []SocketCheck {
	h := wazuhsock.Home(cfg.Home)
	list := []SocketCheck{checkDatabase(ctx, h, cfg.Cluster), checkRemoted(ctx, h)}
	if cfg.Method != detector.Request {
		list = append(list, checkQueue("wazuh-remoted", h.Path(wazuhsock.ARQueue)))
	}
	if cfg.UpdateStatus {
		list = append(list, checkQueue("wazuh-analysisd", h.Path(wazuhsock.AnalysisQueue)))
		if text := clusterCaution(cfg.Cluster); text != "" {
			list = append(list, SocketCheck{Caution: text, Hint: cautionHint})
		}
	}
	return list
}

func checkDatabase(ctx context.Context, h wazuhsock.Home, role wazuhdb.ClusterRole) SocketCheck {
	db := wazuhdb.NewClient(h, role, socketCheckTimeout)
	defer db.Close()
	schema, err := db.Schema(ctx)
	if err != nil {
		return SocketCheck{Daemon: "wazuh-db", Err: err}
	}
	agents, err := db.CountAgents(ctx)
	if err != nil {
		return SocketCheck{Daemon: "wazuh-db", Err: err}
	}
	what := fmt.Sprintf("%d agents at %s", agents, db.Path())
	if schema.Manager != "" {
		what += ", of " + schema.Manager
	}
	return SocketCheck{Daemon: "wazuh-db", Result: what}
}

func checkRemoted(ctx context.Context, h wazuhsock.Home) SocketCheck {
	client := remoted.NewClient(h)
	path := client.Path()
	if _, err := client.CountSessions(ctx, socketCheckTimeout); err != nil {
		return SocketCheck{Daemon: "wazuh-remoted", Err: wazuhsock.Explain(err, "wazuh-remoted", path)}
	}
	return SocketCheck{Daemon: "wazuh-remoted", Result: "answers at " + path}
}

// checkQueue connects to a queue and sends nothing.
func checkQueue(daemon, path string) SocketCheck {
	if err := wazuhsock.TryConnect(path); err != nil {
		return SocketCheck{Daemon: daemon, Err: wazuhsock.Explain(err, daemon, path)}
	}
	return SocketCheck{Daemon: daemon, Result: "listens at " + path}
}
