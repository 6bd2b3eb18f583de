package main

import (
	"context"
	"io"
	"os"

	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/demo"
	"github.com/wazuh-pulse/pulse/internal/managersim"
)

// demoCommand is pulse demo with a simulated manager for --attach.
type demoCommand struct{ demo.Flags }

func (*demoCommand) Help() string {
	return `The same as pulse demo, and with --attach it is as with most installations: agents connect to a stock Wazuh manager, made of
recordings of the real one, and Pulse is beside it. At the end it prints what Pulse requested of the manager, and the
exit code is also 1 if a loss was not written to the manager's database, or did not raise its rule 504, exactly once.

    pulse-bench demo --attach --for 40s`
}

func (c *demoCommand) Run(ctx context.Context) error {
	cfg, err := c.Config()
	if err != nil {
		return usageError{err}
	}
	cfg.Version, cfg.Out = "demo", os.Stdout
	if c.JSON {
		cfg.Out = io.Discard
	}
	if c.Attach {
		cfg.StartManager = startManager
	}
	r, err := demo.Run(ctx, cfg)
	if err != nil {
		return err
	}
	return writeReport(r, c.JSON)
}

func startManager(home string, keys []clientkeys.Key) (demo.Manager, error) {
	m, err := managersim.Start(managersim.Config{Home: home, Keys: keys})
	if err != nil {
		return nil, err
	}
	return manager{m}, nil
}

// manager adapts a simulated manager to the demo.
type manager struct{ *managersim.Manager }

// Load returns the load of the manager's sockets so far.
func (m manager) Load() demo.ManagerLoad {
	s := m.Stats()
	return demo.ManagerLoad{Requests: s.Requests, MostAtOnce: s.MostInFlight, Commands: s.Commands, Queries: s.Queries,
		Bytes: s.RequestsIn + s.RequestsOut + s.DBIn + s.DBOut}
}
