// Package config reads Pulse's settings file: XML in the style of Wazuh's ossec.conf, with three blocks of our own
// (<manager_keepalive> inside <remote>, <nats> and <pulse>). It owns the names, defaults and ranges of all settings, in
// one table (table.go) that parsing, defaults, printing and the reference are driven by. An empty file works: every
// element has a default.
//
// Our own blocks are read strictly: an unknown element, a repeated one, an attribute or stray text is an error with
// file, line and a hint. Only <agent_group> and <silence> may be repeated, under different names. All other blocks are the manager's, whose
// own ossec.conf may be given too, and are ignored but for <remote>'s port, protocol and local_ip and <cluster>'s
// node_name and enabled. A file with the manager's blocks and none of ours is read as leniently as the manager reads it (lenient.go).
//
// Settings hold no secrets, only the names of files that do. One that was pasted in all the same (the user part of a URL)
// is refused and never reaches an error or a printed setting.
//
// The package starts no goroutines and keeps no state between calls. Its functions may be called concurrently; a
// *Loaded is a plain value, safe for concurrent readers.
package config

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"
)

// DefaultPath is the file [Load] reads, if it exists, when no path is given.
const DefaultPath = "/var/ossec/etc/pulse.conf"

// Config is every setting, typed and within its range. The zero value is not usable: start from [Default] or [Load].
type Config struct {
	Remote    Remote
	KeepAlive KeepAlive
	Groups    []Group   // in the order of the files; up to 100
	Silences  []Silence // in the order of the files; up to 100
	NATS      NATS
	Pulse     Pulse
	Cluster   Cluster
}

// Remote is where agents connect: the secure <remote> of ossec.conf. At least one of TCP and UDP is true.
type Remote struct {
	Port     int // 1 to 65535 in a file
	TCP, UDP bool
	LocalIP  netip.Addr
}

// KeepAlive is <manager_keepalive>: how Pulse detects that an agent has failed.
type KeepAlive struct {
	Enabled        bool
	Interval       time.Duration // between keep-alives to one agent: 100ms to 1d
	Timeout        time.Duration // silence for this long is a disconnection: at least Interval
	MaxMissed      int           // unanswered keep-alives in a row that are a disconnection: 1 to 100
	RetryInterval  time.Duration // a keep-alive unanswered for this long is a miss: 100ms to 1d
	Method         string        // "request", "notify" or "ack"
	ReconnectGrace time.Duration // from a closed connection to a disconnection: 0 to 1h
	SuspectTimeout time.Duration // RetryInterval for an agent that is late compared with its own past, which is probed at once: 100ms to 1d
	OutageShare    int           // percent of the active agents (and at least 20) lost in one Interval that are a fleet outage: 1 to 100
	OutageHold     time.Duration // from the end of a fleet outage to the alerts of agents that stay away: 0 to 1d
	FlapThreshold  int           // more status changes than this within FlapWindow are flapping: 1 to 100
	FlapWindow     time.Duration // 1s to 1d
	HostProbe      bool
	HostProbePorts []int           // TCP ports, in the order in which they are tried: up to 8; nil for none
	EscalateAfter  []time.Duration // rising: up to 8, each 100ms to 365d; nil for none
	DormantAfter   time.Duration   // 0 to 3650d; 0: no agent is dormant
}

// NATS is <nats>: the connection to the XDR platform.
type NATS struct {
	Enabled            bool
	ServerURL          string // comma-separated nats, tls, ws or wss URLs without a user; empty: the embedded server listens
	ServerNode         string // one NATS token, or empty: the node whose Pulse runs the server at ServerURL
	ServerConfig       string // absolute, or empty: the configuration of the server that this Pulse runs; goes with ServerURL
	Listen             string // host:port of the embedded server; unused with a ServerURL
	CredentialsFile    string // absolute, or empty. At most one way to log in is set: this, NKeyFile, User or TokenFile
	NKeyFile           string // absolute, or empty
	User               string // goes with PasswordFile
	PasswordFile       string // absolute, or empty
	TokenFile          string // absolute, or empty
	AllowPlaintext     bool   // a login may go over an unencrypted connection to another host
	SubjectPrefix      string // NATS tokens separated by dots
	OCSFSubject        string // NATS tokens separated by dots, or empty: no events of OCSF are published
	JetStreamDomain    string // one NATS token, or empty: that of the server at ServerURL
	TLSCA              string // absolute, or empty: the system's authorities
	TLSCert, TLSKey    string // absolute; both or neither
	MaxReconnects      int    // failures in a row before the server is called unavailable; trying goes on: 1 to 1000000
	ReconnectDelay     time.Duration
	EncryptMessages    bool
	RecipientsFile     string // absolute; read with EncryptMessages
	MessageSigning     bool
	SigningKeyFile     string // absolute, or empty: a file in StateDir
	KeepAliveEvents    string // all, failed or none
	AuditLogging       bool
	AuditDetail        string // "summary" or "full"
	AuditLimit         int64  // bytes, at least 1 MiB
	NoRoster           bool   // no file sets it: for agents that are not real, on a server that has real ones
	HighAlertThreshold int    // Wazuh's alert level, 0 to 15, from which a message also goes to the alerts subject
}

// Pulse is <pulse>: the daemon itself.
type Pulse struct {
	Link          string // "auto", "attach" or "listen"
	Home          string // the manager's home directory
	ClientKeys    string // follows Home unless set
	StateDir      string
	NodeName      string // one NATS token
	HTTP          string // host:port of the console; empty: none. Loopback, or it has a token and a certificate
	HTTPTokenFile string // absolute, or empty
	HTTPCert      string // absolute, or empty; goes with HTTPKey
	HTTPKey       string

	WazuhDashboardURL string // https:// or http://, or empty

	UpdateStatus   bool
	MaxInFlight    int           // requests through a stock manager at once: 1 to 1024
	VerifyCounters bool          // an agent's message that is not newer than all before proves nothing
	LogLevel       string        // "debug", "info", "warn" or "error"
	TelemetryLimit int64         // bytes, at least 1 MiB
	StatusLimit    time.Duration // 1d to 3650d, or 0: no limit
}

// Cluster is what of <cluster> is Pulse's: the other elements are the manager's.
type Cluster struct {
	Enabled bool // agents change between this node and others, without a manager's cluster
}

// Default returns the settings of an empty file. The node has the host's name.
func Default() Config {
	var c Config
	for _, s := range table {
		value := s.def
		if value == hostDefault {
			value = nodeNameOfHost()
		}
		if err := s.field(&c).setFromText(value); err != nil {
			panic("config: default of " + s.path + ": " + err.Error()) // a mistake in the table; a test sees it first
		}
	}
	return c
}

const (
	// hostDefault is the default of the node's name in the reference.
	hostDefault = "the host's name"
	// packagedName is the name in the cluster block of every manager's packaged
	// ossec.conf without a cluster, so that it identifies none of them.
	packagedName = "node01"
	// namelessNode is the name of a node whose host has none that can be used.
	namelessNode = "pulse"
	// nodeNameMax is also the limit of a certificate's name and of a bucket's key.
	nodeNameMax = 64
)

func nodeNameOfHost() string {
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	return nodeNameFrom(host)
}

// nodeNameFrom makes one NATS token of a host's name: letters, digits, - and _ as they
// are, - for anything else, as for the dots of a domain.
func nodeNameFrom(host string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		}
		return '-'
	}, host)
	name = strings.TrimLeft(name, "-_")
	name = strings.TrimRight(name[:min(len(name), nodeNameMax)], "-_")
	if name == "" {
		return namelessNode
	}
	return name
}

// adoptClusterName uses the node name of the manager's cluster unless <pulse> has one, in whatever order the files came.
func (ld *loader) adoptClusterName() {
	o := ld.clusterOrigin
	if o.file == "" || ld.failed[pathNodeName] || ld.loaded.origins[pathNodeName].file != "" {
		return
	}
	name := lookupSetting(pathNodeName).field(&ld.loaded.Config)
	if err := name.setFromText(ld.clusterName); err != nil {
		ld.errs.addProblem(&Error{o.file, o.line, fmt.Sprintf("<node_name>%s</node_name>: %v", quoteBrief(ld.clusterName), err),
			"change it there, where nodes share who has an agent; else give this node a name of its own with <pulse><node_name>"})
		return
	}
	ld.loaded.origins[pathNodeName] = o
}

// adoptManagerName uses the node name of the manager in <home>, if there is one and no file has a name.
func (ld *loader) adoptManagerName() {
	home := ld.loaded.Pulse.Home
	if ld.clusterOrigin.file != "" || ld.loaded.Pulse.Link == "listen" || ld.failed[pathHome] {
		return
	}
	if m, err := ReadManager(home); err == nil && m.hasOwnName() {
		ld.clusterName, ld.clusterOrigin = m.NodeName, origin{managerFilePath(home), m.line, ""}
	}
}

// hasOwnName reports whether the file has a name of this node, other than the packaged one.
func (m *Manager) hasOwnName() bool {
	return m.NodeName != "" && (m.Clustered || m.NodeName != packagedName)
}
