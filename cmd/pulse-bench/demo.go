package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"time"

	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/demo"
	"github.com/wazuh-pulse/pulse/internal/managersim"
)

// demoCommand is pulse demo with a simulated manager for --attach.
type demoCommand struct {
	demo.Flags
	Wazuh int `default:"4" placeholder:"N" help:"With --attach: the manager's version, 4 or 5. Default: ${default}."`
}

func (*demoCommand) Help() string {
	return `The same as pulse demo, and with --attach it is as with most installations: agents connect to a stock Wazuh manager, made of
recordings of the real one, and Pulse is beside it. At the end it prints what Pulse requested of the manager, and the
exit code is also 1 if a loss was not written to the manager's database, or did not raise its rule 504, exactly once.

    pulse-bench demo --attach --for 40s

With --wazuh 5 the manager and its agents are of Wazuh 5. Such agents cannot be asked, and the manager writes one of their
keep-alives a minute to its database, from which Pulse has to find who is gone: 80 s after it happened. To show that in
a minute the demo's manager has the option that a real one has for it, remoted.control_keepalive_throttle, at 3 instead of
60 s, and agents report every second instead of every ten. The other 20 s are Pulse's own and are not shortened, so
that what is printed is 23 s where it is 80 s beside a manager as shipped, and 30 s with that option at 10. Reboots and
planned work are left out: they would be over before anything is known of them. There is no alert of the manager's for a
loss, but its database has to know each. The exit code is also 1 if an agent of 5 was asked anything.

    pulse-bench demo --attach --wazuh 5 --for 90s

With --cluster and --attach the nodes are beside the managers of a Wazuh cluster, a master and two workers, with what
wazuh-clusterd carries between them. The exit code is also 1 if the master's database is not true at the end, or a loss
did not raise rule 504 exactly once.

    pulse-bench demo --cluster --attach`
}

func (c *demoCommand) Run(ctx context.Context) error {
	if c.Cluster {
		return c.runCluster(ctx)
	}
	cfg, err := c.Config()
	if err != nil {
		return usageError{err}
	}
	if c.Wazuh != 4 && c.Wazuh != 5 {
		return usageError{fmt.Errorf("--wazuh %d: want 4 or 5", c.Wazuh)}
	}
	if c.Wazuh == 5 && !c.Attach {
		return usageError{errors.New("--wazuh 5: only with --attach")}
	}
	cfg.Version, cfg.Out = "demo", os.Stdout
	if c.JSON {
		cfg.Out = io.Discard
	}
	if c.Attach {
		cfg.StartManager = startManager
	}
	if c.Wazuh == 5 {
		cfg.StartManager, cfg.Wazuh5 = startManagerOf5, true
	}
	r, err := demo.Run(ctx, cfg)
	if err != nil {
		return err
	}
	return writeReport(r, c.JSON)
}

// runCluster runs the demo of a cluster.
func (c *demoCommand) runCluster(ctx context.Context) error {
	cfg, err := c.ClusterConfig()
	if err == nil && c.Wazuh != 4 {
		err = errors.New("--cluster: only with --wazuh 4")
	}
	if err != nil {
		return usageError{err}
	}
	cfg.Version, cfg.Out = "demo", os.Stdout
	if c.JSON {
		cfg.Out = io.Discard
	}
	if c.Attach {
		cfg.StartManagers = startManagers
	}
	r, err := demo.RunCluster(ctx, cfg)
	if err != nil {
		return err
	}
	return writeReport(r, c.JSON)
}

func startManagers(dir string, nodes []string, keys []clientkeys.Key) (demo.Managers, error) {
	f, err := managersim.StartFleet(managersim.FleetConfig{Dir: dir, Nodes: nodes, Keys: keys})
	if err != nil {
		return nil, err
	}
	return managers{f, nodes}, nil
}

// managers adapts the simulated managers of a cluster to the demo.
type managers struct {
	*managersim.Fleet
	nodes []string
}

func (m managers) Home(node string) string              { return m.Manager(node).Home() }
func (m managers) AgentAddr(node string) netip.AddrPort { return m.Manager(node).AgentAddr() }

// Status returns what the master's database has of an agent.
func (m managers) Status(agent string) (string, error) {
	id, err := strconv.Atoi(agent)
	if err != nil {
		return "", err
	}
	a, err := m.Master().Agent(id)
	return a.Status, err
}

// Events returns the messages to the analysisd of all managers.
func (m managers) Events() (all []string) {
	for _, node := range m.nodes {
		all = append(all, m.Manager(node).Events()...)
	}
	return all
}

func startManager(home string, keys []clientkeys.Key) (demo.Manager, error) {
	m, err := managersim.Start(managersim.Config{Home: home, Keys: keys})
	if err != nil {
		return nil, err
	}
	return manager{m}, nil
}

func startManagerOf5(home string, keys []clientkeys.Key) (demo.Manager, error) {
	m, err := managersim.Start(managersim.Config{Home: home, Keys: keys, Version: "v5.0.0",
		Wazuh5: managersim.Wazuh5{Throttle: demo.Throttle5, Age: time.Hour}})
	if err != nil {
		return nil, err
	}
	return managerOf5{manager{m}}, nil
}

// managerOf5 is a manager with agents of Wazuh 5 only.
type managerOf5 struct{ manager }

// AgentAddr returns the address for agents to connect to.
func (m managerOf5) AgentAddr() netip.AddrPort { return m.ControlAddr() }

// manager adapts a simulated manager to the demo.
type manager struct{ *managersim.Manager }

// Load returns the load of the manager's sockets so far.
func (m manager) Load() demo.ManagerLoad {
	s := m.Stats()
	return demo.ManagerLoad{Requests: s.Requests, Requests5: s.Requests5, MostAtOnce: s.MostInFlight, Commands: s.Commands, Queries: s.Queries,
		Bytes: s.RequestsIn + s.RequestsOut + s.DBIn + s.DBOut + s.HTTPBytes}
}
