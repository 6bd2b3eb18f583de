package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/wazuh-pulse/pulse/internal/daemon"
	"github.com/wazuh-pulse/pulse/internal/hostprobe"
	"github.com/wazuh-pulse/pulse/internal/presence"
	"github.com/wazuh-pulse/pulse/internal/remote"
)

// checkPorts binds each port that the daemon binds, and closes it again.
func (e *examination) checkPorts(ctx context.Context) {
	e.running = daemon.Running(&e.Config)
	if e.running {
		e.add("running", Note, "a Pulse works with "+e.Pulse.StateDir+": its ports are in use", "")
	}
	agents := netip.AddrPortFrom(e.Remote.LocalIP, uint16(e.Remote.Port)).String()
	if e.Remote.TCP && !e.attach {
		e.checkPort(ctx, "tcp", agents, "<remote><port>")
	}
	if e.Remote.UDP && !e.attach {
		e.checkPort(ctx, "udp", agents, "<remote><port>")
	}
	if e.NATS.Enabled && e.NATS.ServerURL == "" {
		e.checkPort(ctx, "tcp", e.NATS.Listen, "<nats><listen>")
	}
	if e.Pulse.HTTP != "" {
		e.checkPort(ctx, "tcp", e.Pulse.HTTP, "<pulse><http>")
	}
}

func (e *examination) checkPort(ctx context.Context, network, addr, setting string) {
	name := fmt.Sprintf("%s/%s (%s)", addr, network, setting)
	err := bindPort(ctx, network, addr)
	switch {
	case err == nil:
		e.add("port", Good, name+" is free", "")
	case errors.Is(err, syscall.EADDRINUSE) && e.running:
	case errors.Is(err, syscall.EADDRINUSE):
		e.add("port", Failure, name+" is taken", "ss -lpn shows by whom: stop that, or set another port")
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		e.add("port", Failure, name+" is no address of this host", "set another")
	case errors.Is(err, syscall.EACCES):
		e.add("port", Failure, name+" is for root alone", "set one from 1024 on")
	default:
		e.add("port", Failure, fmt.Sprintf("%s: %v", name, err), "")
	}
}

func bindPort(ctx context.Context, network, addr string) error {
	var lc net.ListenConfig
	if network == "udp" {
		c, err := lc.ListenPacket(ctx, network, addr)
		if err != nil {
			return err
		}
		return c.Close()
	}
	l, err := lc.Listen(ctx, network, addr)
	if err != nil {
		return err
	}
	return l.Close()
}

// checkHostProbe reports in which ways the hosts of lost agents can be asked whether they answer. It asks none.
func (e *examination) checkHostProbe(context.Context) {
	if !e.KeepAlive.HostProbe {
		e.add("host probe", Note, "off: whether the host of a lost agent still answers is not known", "")
		return
	}
	var ports []string
	for _, port := range e.KeepAlive.HostProbePorts {
		ports = append(ports, fmt.Sprintf("tcp:%d", port))
	}
	err := hostprobe.CheckPing()
	const allow = `let Pulse's group ping: sysctl -w net.ipv4.ping_group_range="$(id -g pulse) $(id -g pulse)"`
	switch {
	case err == nil:
		e.add("host probe", Good, strings.Join(append([]string{"icmp"}, ports...), ", "), "")
	case len(ports) > 0:
		e.add("host probe", Note, fmt.Sprintf("%s; no icmp: %v", strings.Join(ports, ", "), err), allow)
	default:
		e.add("host probe", Warning, fmt.Sprintf("no host can be asked: no <host_probe_ports>, and no icmp: %v", err), allow)
	}
}

// loginTimeout is for one login to a NATS server.
const loginTimeout = 15 * time.Second

// checkNATS logs in to the XDR's NATS server.
func (e *examination) checkNATS(ctx context.Context) {
	switch {
	case !e.NATS.Enabled:
		e.add("NATS", Note, "off: nothing is published", "")
		return
	case e.NATS.ServerURL == "":
		e.add("NATS", Good, "Pulse's own server, at "+e.NATS.Listen, "")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	began := time.Now()
	session, err := remote.Dial(ctx, daemon.RemoteConfig(&e.Config, nil))
	if err != nil {
		e.addError("NATS", Failure, err) // one for each server
		return
	}
	defer session.Conn.Close()
	e.add("NATS", Good, fmt.Sprintf("logged in at %s, in %v", session.Conn.ConnectedUrlRedacted(), time.Since(began).Round(time.Millisecond)), "")
	e.checkOtherNodes(ctx, session)
	e.checkStatusStorage(ctx, session)
}

// checkOtherNodes reports whether another node has this node's name.
func (e *examination) checkOtherNodes(ctx context.Context, session *remote.Session) {
	name := e.Pulse.NodeName
	found, err := presence.FindNodes(ctx, session, name)
	if err != nil {
		e.add("name", Warning, fmt.Sprintf("whether another node is called %s is not known: %v", name, err),
			"let this user publish and subscribe to "+presence.Subject(name)+"; with the files of pulse provision nats, --renew "+name+" does so")
		return
	}
	own := func(s presence.Statement) bool { return e.running && daemon.IsOwn(&e.Config, s) }
	found = slices.DeleteFunc(found, own)
	if len(found) == 0 {
		e.add("name", Good, "no other node is called "+name, "")
		return
	}
	for _, s := range found {
		e.add("name", Failure, fmt.Sprintf("a node called %s exists already, on host %q, started %s: of two one publishes nothing", name, s.Host,
			time.Unix(s.StartedAt, 0).UTC().Format(time.RFC3339)), "give each node a <node_name> of its own")
	}
}

// checkStatusStorage reports whether a stream confirms status changes.
func (e *examination) checkStatusStorage(ctx context.Context, session *remote.Session) {
	found, err := daemon.FindStatusStorage(ctx, &e.Config, session)
	switch {
	case found.Listed:
		e.add("status changes", Good, "a stream of the NATS server stores "+found.Subject, "")
	case err != nil && found.Stored:
		e.add("status changes", Good, "a stream of the NATS server has acknowledged "+found.Subject, "")
	case err != nil:
		e.add("status changes", Note, "whether a stream of the NATS server stores them is not known: it does not list its streams", "")
	case found.Stored:
		e.add("status changes", Warning, "the NATS server stored "+found.Subject+" before, and lists no stream now that does: they wait on disk",
			"make the stream again; or, if none is wanted, stop Pulse and delete outbox/stored in <state_dir>")
	default:
		e.add("status changes", Warning, "nothing confirms status changes: the NATS server lists no stream that takes "+found.Subject,
			"make a stream for them there, as pulse provision does")
	}
}
