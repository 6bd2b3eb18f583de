package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/wazuh-pulse/pulse/internal/daemon"
	"github.com/wazuh-pulse/pulse/internal/presence"
	"github.com/wazuh-pulse/pulse/internal/remote"
)

// ports takes each port that the daemon would, and lets go of it again.
func (p *patient) ports(ctx context.Context) {
	p.running = daemon.Running(&p.Config)
	if p.running {
		p.found("running", Note, "a Pulse works with "+p.Pulse.StateDir+": its ports are taken", "")
	}
	agents := netip.AddrPortFrom(p.Remote.LocalIP, uint16(p.Remote.Port)).String()
	if p.Remote.TCP && !p.attach {
		p.port(ctx, "tcp", agents, "<remote><port>")
	}
	if p.Remote.UDP && !p.attach {
		p.port(ctx, "udp", agents, "<remote><port>")
	}
	if p.NATS.Enabled && p.NATS.ServerURL == "" {
		p.port(ctx, "tcp", p.NATS.Listen, "<nats><listen>")
	}
	if p.Pulse.HTTP != "" {
		p.port(ctx, "tcp", p.Pulse.HTTP, "<pulse><http>")
	}
}

func (p *patient) port(ctx context.Context, network, addr, setting string) {
	name := fmt.Sprintf("%s/%s (%s)", addr, network, setting)
	err := bind(ctx, network, addr)
	switch {
	case err == nil:
		p.found("port", Good, name+" is free", "")
	case errors.Is(err, syscall.EADDRINUSE) && p.running:
	case errors.Is(err, syscall.EADDRINUSE):
		p.found("port", Failure, name+" is taken", "ss -lpn shows by whom: stop that, or set another port")
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		p.found("port", Failure, name+" is no address of this host", "set another")
	case errors.Is(err, syscall.EACCES):
		p.found("port", Failure, name+" is for root alone", "set one from 1024 on")
	default:
		p.found("port", Failure, fmt.Sprintf("%s: %v", name, err), "")
	}
}

func bind(ctx context.Context, network, addr string) error {
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

// loginTime is for how long a NATS server may take.
const loginTime = 15 * time.Second

// nats logs in to the XDR's NATS server, and asks it for a sign of life.
func (p *patient) nats(ctx context.Context) {
	switch {
	case !p.NATS.Enabled:
		p.found("NATS", Note, "off: nothing is published", "")
		return
	case p.NATS.ServerURL == "":
		p.found("NATS", Good, "Pulse's own server, at "+p.NATS.Listen, "")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, loginTime)
	defer cancel()
	began := time.Now()
	session, err := remote.Dial(ctx, daemon.RemoteConfig(&p.Config, nil))
	if err != nil {
		list := remote.Failures(err)
		for _, f := range list { // one for each server
			p.found("NATS", Failure, f.What(), f.WayOut())
		}
		if len(list) == 0 {
			p.found("NATS", Failure, err.Error(), "")
		}
		return
	}
	defer session.Conn.Close()
	p.found("NATS", Good, fmt.Sprintf("logged in at %s, in %v", session.Conn.ConnectedUrlRedacted(), time.Since(began).Round(time.Millisecond)), "")
	p.otherNodes(ctx, session)
	p.statusStorage(ctx, session)
}

// otherNodes asks whether another node has this node's name.
func (p *patient) otherNodes(ctx context.Context, session *remote.Session) {
	name := p.Pulse.NodeName
	found, err := presence.Find(ctx, session, name)
	if err != nil {
		p.found("name", Warning, fmt.Sprintf("whether another node is called %s is not known: %v", name, err),
			"let this user publish and subscribe to "+presence.Subject(name)+"; with the files of pulse provision nats, --renew "+name+" does so")
		return
	}
	own := func(s presence.Statement) bool { return p.running && daemon.IsOwn(&p.Config, s) }
	found = slices.DeleteFunc(found, own)
	if len(found) == 0 {
		p.found("name", Good, "no other node is called "+name, "")
		return
	}
	for _, s := range found {
		p.found("name", Failure, fmt.Sprintf("a node called %s is there already, on host %q, started %s: of two one publishes nothing", name, s.Host,
			time.Unix(s.StartedAt, 0).UTC().Format(time.RFC3339)), "give each node a <node_name> of its own")
	}
}

// statusStorage looks for a stream that confirms status changes.
func (p *patient) statusStorage(ctx context.Context, session *remote.Session) {
	found, err := daemon.FindStatusStorage(ctx, &p.Config, session)
	switch {
	case found.Listed:
		p.found("status changes", Good, "a stream of the NATS server stores "+found.Subject, "")
	case err != nil && found.Stored:
		p.found("status changes", Good, "a stream of the NATS server has acknowledged "+found.Subject, "")
	case err != nil:
		p.found("status changes", Note, "whether a stream of the NATS server stores them is not known: it does not say which streams there are", "")
	case found.Stored:
		p.found("status changes", Warning, "the NATS server stored "+found.Subject+" before, and lists no stream now that does: they wait on disk",
			"make the stream again; if none is wanted any more, stop Pulse and delete outbox/stored in <state_dir>")
	default:
		p.found("status changes", Warning, "nothing confirms status changes: the NATS server lists no stream that takes "+found.Subject,
			"make a stream for them there, as pulse provision does")
	}
}
