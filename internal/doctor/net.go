package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"

	"github.com/wazuh-pulse/pulse/internal/daemon"
	"github.com/wazuh-pulse/pulse/internal/hostprobe"
	"github.com/wazuh-pulse/pulse/internal/natsserver"
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
	if e.NATS.ServerConfig != "" {
		if addr, err := natsserver.CheckHub(e.NATS.ServerConfig); err == nil { // else checkNATS reports it
			e.checkPort(ctx, "tcp", addr, "<nats><server_config>")
		}
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
