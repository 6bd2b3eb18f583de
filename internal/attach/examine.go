package attach

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
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
	h := home(cfg.Home)
	list := []Examined{examineDatabase(ctx, h, cfg.Place), examineRemoted(ctx, h)}
	if cfg.Method != detector.Request {
		list = append(list, examineQueue("wazuh-remoted", h.path(arQueue)))
	}
	if cfg.UpdateStatus {
		list = append(list, examineQueue("wazuh-analysisd", h.path(analysisQueue)))
		if text := cfg.Place.caution(); text != "" {
			list = append(list, Examined{Caution: text, WayOut: cautionWayOut})
		}
	}
	return list
}

func examineDatabase(ctx context.Context, h home, place Place) Examined {
	db := &database{path: h.path(databaseSocket), time: examineTime}
	defer db.hangUp()
	l, err := db.layout(ctx)
	if err != nil {
		return Examined{Daemon: "wazuh-db", Err: err}
	}
	rows, err := sql[struct {
		N int `json:"n"`
	}](ctx, db, "SELECT count(*) AS n FROM agent WHERE "+place.ours())
	if err == nil && len(rows) != 1 {
		err = fmt.Errorf("wazuh-db answers %d rows for a count", len(rows))
	}
	if err != nil {
		return Examined{Daemon: "wazuh-db", Err: err}
	}
	what := fmt.Sprintf("%d agents at %s", rows[0].N, db.path)
	if l.manager != "" {
		what += ", of " + l.manager
	}
	return Examined{Daemon: "wazuh-db", What: what}
}

func examineRemoted(ctx context.Context, h home) Examined {
	path := h.requestSocket()
	r := &remoted{home: h}
	var stats map[string]any
	if err := r.command(ctx, getStats, examineTime, &stats); err != nil {
		return Examined{Daemon: "wazuh-remoted", Err: explain(err, "wazuh-remoted", path)}
	}
	return Examined{Daemon: "wazuh-remoted", What: "answers at " + path}
}

// examineQueue connects to a queue and sends nothing.
func examineQueue(daemon, path string) Examined {
	if _, err := os.Stat(path); err != nil {
		return Examined{Daemon: daemon, Err: explain(err, daemon, path)}
	}
	conn, err := dialQueue(path)
	if err != nil {
		return Examined{Daemon: daemon, Err: explain(err, daemon, path)}
	}
	hangUp(conn)
	return Examined{Daemon: daemon, What: "listens at " + path}
}
