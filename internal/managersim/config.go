package managersim

import (
	"cmp"
	"fmt"
	"log/slog"
	"time"

	"github.com/wazuh-pulse/pulse/internal/clientkeys"
)

// Config configures a manager. Home is required; the zero values of the others
// mean what a stock manager without a cluster has.
type Config struct {
	Home string           // a directory that exists; its path may have LongestHome bytes
	Keys []clientkeys.Key // the agents registered at the start

	Listen  string // for agents, host:port: "127.0.0.1:0"
	Version string // "v4.14.7"; before v4.4 requests have another socket, and from v5 on see Wazuh5
	Wazuh5  Wazuh5 // what only a manager of Wazuh 5 has
	// Cluster is the manager's role in a cluster. The zero value is a manager
	// alone.
	Cluster Cluster // none

	RequestPool      int           // requests to agents at a time (remoted.request_pool): 1024
	ResponseTimeout  time.Duration // for an agent's answer (remoted.response_timeout): 60 s
	Backlog          int           // connections waiting to be accepted by a socket: 128
	DisconnectionAge time.Duration // silence after which monitord marks an agent as disconnected, and the time between its sweeps (agents_disconnection_time): 15 min
	Overtake         time.Duration // silence after which a second connection takes an agent's place (connection_overtake_time): 60 s

	ProcessorTime bool // Stats.Answering is processor time, for which each answer keeps its thread

	Log *slog.Logger // discards when nil

	Now func() int64 // wazuh-db's clock, Unix seconds: the system's
}

// Cluster is the manager's place in one. The zero value is a manager alone.
type Cluster struct {
	Name string // "wazuh" when there is a node
	Node string // this node's name
	Type string // master or worker: "master"
}

func (c Config) withDefaults() Config {
	c.Listen = cmp.Or(c.Listen, "127.0.0.1:0")
	c.Version = cmp.Or(c.Version, "v4.14.7")
	c.RequestPool = cmp.Or(c.RequestPool, 1024)
	c.ResponseTimeout = cmp.Or(c.ResponseTimeout, time.Minute)
	c.Backlog = cmp.Or(c.Backlog, 128)
	c.DisconnectionAge = cmp.Or(c.DisconnectionAge, 15*time.Minute)
	c.Overtake = cmp.Or(c.Overtake, time.Minute)
	if c.isWazuh5() {
		c = c.withDefaultsOf5()
	}
	if c.Cluster.Node != "" {
		c.Cluster.Name = cmp.Or(c.Cluster.Name, "wazuh")
		c.Cluster.Type = cmp.Or(c.Cluster.Type, "master")
	}
	if c.Now == nil {
		c.Now = func() int64 { return time.Now().Unix() }
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// nodeName returns the node name of this manager's agents in the database.
func (c *Config) nodeName() string { return cmp.Or(c.Cluster.Node, "node01") }

// isWorker reports whether changes wait for the cluster's master.
func (c *Config) isWorker() bool { return c.Cluster.Type == "worker" }

// syncStatus returns the sync_status after a change of the given kind.
func (c *Config) syncStatus(kind string) string {
	switch {
	case !c.isWorker():
		return synced
	case c.isBefore(4, 6):
		return syncAll
	}
	return kind
}

// isBefore reports whether the manager is older than a version.
func (c *Config) isBefore(major, minor int) bool {
	var is, sub int
	n, _ := fmt.Sscanf(c.Version, "v%d.%d", &is, &sub)
	return n == 2 && (is < major || is == major && sub < minor)
}

// The values of sync_status.
const (
	synced         = "synced"
	syncAll        = "syncreq"
	syncKeepAlive  = "syncreq_keepalive"
	syncStatusOnly = "syncreq_status"
)
