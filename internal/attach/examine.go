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

// Examined is what one of the manager's sockets came to, or a caution.
type Examined struct {
	Daemon  string // who serves it
	What    string // what it said, if all is well
	Err     error  // with the way out
	Caution string // what should be known though all is well
	WayOut  string // of a caution
}

// examineTime is how long a socket may take.
const examineTime = 5 * time.Second

// Examine tries once each socket of the manager in a directory that a [Link] with
// these settings uses, and asks no agent anything.
func Examine(ctx context.Context, cfg Config) []Examined {
	h := wazuhsock.Home(cfg.Home)
	list := []Examined{examineDatabase(ctx, h, cfg.Cluster), examineRemoted(ctx, h)}
	if cfg.Method != detector.Request {
		list = append(list, examineQueue("wazuh-remoted", h.Path(wazuhsock.ARQueue)))
	}
	if cfg.UpdateStatus {
		list = append(list, examineQueue("wazuh-analysisd", h.Path(wazuhsock.AnalysisQueue)))
		if text := clusterCaution(cfg.Cluster); text != "" {
			list = append(list, Examined{Caution: text, WayOut: cautionWayOut})
		}
	}
	return list
}

func examineDatabase(ctx context.Context, h wazuhsock.Home, role wazuhdb.ClusterRole) Examined {
	db := wazuhdb.NewClient(h, role, examineTime)
	defer db.Close()
	schema, err := db.Schema(ctx)
	if err != nil {
		return Examined{Daemon: "wazuh-db", Err: err}
	}
	agents, err := db.CountAgents(ctx)
	if err != nil {
		return Examined{Daemon: "wazuh-db", Err: err}
	}
	what := fmt.Sprintf("%d agents at %s", agents, db.Path())
	if schema.Manager != "" {
		what += ", of " + schema.Manager
	}
	return Examined{Daemon: "wazuh-db", What: what}
}

func examineRemoted(ctx context.Context, h wazuhsock.Home) Examined {
	client := remoted.NewClient(h)
	path := client.Path()
	if _, err := client.CountSessions(ctx, examineTime); err != nil {
		return Examined{Daemon: "wazuh-remoted", Err: wazuhsock.Explain(err, "wazuh-remoted", path)}
	}
	return Examined{Daemon: "wazuh-remoted", What: "answers at " + path}
}

// examineQueue connects to a queue and sends nothing.
func examineQueue(daemon, path string) Examined {
	if err := wazuhsock.TryConnect(path); err != nil {
		return Examined{Daemon: daemon, Err: wazuhsock.Explain(err, daemon, path)}
	}
	return Examined{Daemon: daemon, What: "listens at " + path}
}
