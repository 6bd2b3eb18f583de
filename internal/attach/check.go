package attach

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/wazuh-pulse/pulse/internal/clusterd"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/plural"
	"github.com/wazuh-pulse/pulse/internal/remoted"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
	"github.com/wazuh-pulse/pulse/internal/wazuhsock"
	"golang.org/x/sys/unix"
)

// IsInstalled reports whether a Wazuh manager is installed in a directory, whether it
// runs or not. An agent's directory looks alike, but has no database of agents, and no settings
// of a manager of Wazuh 5. One of Wazuh 4 that has never run has none either.
func IsInstalled(dir string) (bool, error) {
	for _, name := range []string{wazuhsock.DatabaseFile, wazuhsock.DatabaseSocket, wazuhsock.Settings5} {
		switch _, err := os.Stat(wazuhsock.Home(dir).Path(name)); {
		case err == nil:
			return true, nil
		case errors.Is(err, fs.ErrPermission):
			return false, wazuhsock.ExplainError(err, "the manager", dir)
		}
	}
	return false, nil
}

// IsWazuh5 reports whether the manager in a directory is of Wazuh 5.
func IsWazuh5(dir string) bool { return wazuhsock.Home(dir).IsWazuh5() }

// CheckHome returns an error if there is no Wazuh manager in a directory, or if this
// process may not use it. The manager need not run.
func CheckHome(dir string) error {
	h := wazuhsock.Home(dir)
	if info, err := os.Stat(dir); err != nil && errors.Is(err, fs.ErrPermission) {
		return wazuhsock.ExplainError(err, "the manager", dir)
	} else if err != nil || !info.IsDir() {
		return fmt.Errorf("no Wazuh manager in %s (<pulse><home>): there is no such directory", dir)
	}
	if installed, err := IsInstalled(dir); err != nil {
		return err
	} else if !installed {
		return fmt.Errorf("no Wazuh manager in %s (<pulse><home>): it has no %s", dir, wazuhsock.DatabaseFile)
	}
	for _, need := range []struct {
		what, path string
		right      uint32
	}{
		{"the manager's settings", h.SettingsPath(), unix.R_OK},
		{"wazuh-db", h.Path(wazuhsock.DatabaseSocket), unix.W_OK}, // it takes that to connect
		{"wazuh-remoted", h.RequestSocket(), unix.W_OK},
	} {
		if err := unix.Access(need.path, need.right); errors.Is(err, fs.ErrPermission) {
			return wazuhsock.ExplainError(err, need.what, need.path)
		}
	}
	return nil
}

// SocketCheck is what a check of one of the manager's sockets found, or a caution.
type SocketCheck struct {
	Daemon  string // that serves it
	Result  string // if Err is nil
	Err     error  // with what can be done about it
	Caution string // what should be known though all is well
	Hint    string // what can be done about the caution
}

// socketCheckTimeout is how long a socket may take.
const socketCheckTimeout = 5 * time.Second

// CheckSockets tries once each socket that a [Link] with these settings uses. It sends no
// agent anything.
func CheckSockets(ctx context.Context, cfg Config) []SocketCheck {
	h := wazuhsock.Home(cfg.Home)
	list := []SocketCheck{checkDatabaseSocket(ctx, h, cfg.Cluster), checkRemotedSocket(ctx, h)}
	if h.IsWazuh5() {
		list = append(list, checkWazuh5(ctx, h, &cfg)...)
	} else if cfg.Method != detector.Request {
		list = append(list, checkQueueSocket("wazuh-remoted", h.Path(wazuhsock.ARQueue)))
	}
	if cfg.Cluster.IsClustered() {
		list = append(list, checkCluster(ctx, h, cfg.Cluster)...)
	}
	if cfg.UpdateStatus && !h.IsWazuh5() {
		list = append(list, checkQueueSocket("wazuh-analysisd", h.Path(wazuhsock.AnalysisQueue)))
		if text := clusterWriteCaution(cfg.Cluster); text != "" {
			list = append(list, SocketCheck{Caution: text, Hint: cautionHint})
		}
	}
	return list
}

func checkDatabaseSocket(ctx context.Context, h wazuhsock.Home, role wazuhdb.ClusterRole) SocketCheck {
	db := wazuhdb.NewClient(h, role, socketCheckTimeout)
	defer db.Close()
	schema, err := db.ReadSchema(ctx)
	if err != nil {
		return SocketCheck{Daemon: "wazuh-db", Err: err}
	}
	agents, err := db.CountAgents(ctx)
	if err != nil {
		return SocketCheck{Daemon: "wazuh-db", Err: err}
	}
	what := plural.CountNoun(agents, "agent") + " at " + db.SocketPath()
	if schema.Manager != "" {
		what += ", of " + schema.Manager
	}
	return SocketCheck{Daemon: "wazuh-db", Result: what}
}

// checkCluster reports which nodes the manager's cluster has, whether a worker may ask its
// master, and whether the nodes share who has an agent.
func checkCluster(ctx context.Context, h wazuhsock.Home, role wazuhdb.ClusterRole) (list []SocketCheck) {
	client := clusterd.NewClient(h, socketCheckTimeout)
	nodes, err := client.ReadNodes(ctx)
	switch {
	case err == nil:
		list = append(list, SocketCheck{Daemon: "wazuh-clusterd", Result: fmt.Sprintf("%s %s connected: %s", plural.CountNoun(len(nodes), "node"), plural.ChooseForm(len(nodes), "is", "are"), joinNodes(nodes))})
	case role.Worker && role.Shared:
		list = append(list, SocketCheck{Caution: fmt.Sprintf("the master cannot be asked where agents are while this worker is cut off from the NATS server: %v", err),
			Hint: "agents that move then are lost after 30 s, until their new node publishes that it has them"})
	case !h.IsWazuh5(): // where every manager is a node, alone or not
		list = append(list, SocketCheck{Caution: fmt.Sprintf("it is not known which nodes this cluster has: %v", err)})
	}
	if !role.Shared && !role.Worker && len(nodes) > 1 {
		list = append(list, SocketCheck{Caution: "the nodes of this cluster share nothing: an agent that moves away looks lost until the database names its new node, up to 20 s later", Hint: cautionHint})
	}
	return list
}

// joinNodes returns the names of some nodes.
func joinNodes(nodes []clusterd.Node) string {
	const most = 8
	var names []string
	for _, n := range nodes[:min(len(nodes), most)] {
		names = append(names, n.Name+" ("+n.Type+")")
	}
	if len(nodes) > most {
		names = append(names, "and others")
	}
	return strings.Join(names, ", ")
}

func checkRemotedSocket(ctx context.Context, h wazuhsock.Home) SocketCheck {
	client := remoted.NewClient(h)
	path := client.SocketPath()
	if _, err := client.CountSessions(ctx, socketCheckTimeout); err != nil {
		return SocketCheck{Daemon: "wazuh-remoted", Err: wazuhsock.ExplainError(err, "wazuh-remoted", path)}
	}
	return SocketCheck{Daemon: "wazuh-remoted", Result: "answers at " + path}
}

// checkQueueSocket connects to a queue and sends nothing.
func checkQueueSocket(daemon, path string) SocketCheck {
	if err := wazuhsock.TryConnect(path); err != nil {
		return SocketCheck{Daemon: daemon, Err: wazuhsock.ExplainError(err, daemon, path)}
	}
	return SocketCheck{Daemon: daemon, Result: "listens at " + path}
}
