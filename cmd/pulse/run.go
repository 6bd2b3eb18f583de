package main

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"syscall"
	"time"

	"github.com/wazuh-pulse/pulse/internal/daemon"
)

type runCommand struct{ settingsFlag }

func (*runCommand) Help() string {
	return `Agents connect to Pulse (<remote><port>, 1514 by default) with the keys of client.keys. Messages are on NATS:
on the embedded server (<nats><listen>), or forwarded to <nats><server_url>.

The log goes to standard error, as text on a terminal and as JSON elsewhere. SIGINT or SIGTERM ends the daemon cleanly
within 5 seconds.`
}

func (c *runCommand) Run(e *env) error {
	loaded, err := c.load()
	if err != nil {
		return err
	}
	if err := loaded.CheckFiles(); err != nil {
		return err
	}
	log := slog.New(logHandler(e.stderr))
	node, err := daemon.Open(e.ctx, &loaded.Config, version, log)
	if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, fs.ErrPermission) {
		return usageError{err}
	}
	if err != nil {
		return err
	}
	log.Info("pulse runs", "version", version, "node", loaded.Pulse.NodeName, "agents_at", node.AgentAddr(),
		"nats", natsName(loaded.NATS.ServerURL, node.NATSURL()), "console", node.ConsoleAddr(), "settings", loaded.Files)
	started := time.Now()
	err = node.Run(e.ctx)
	log.Info("pulse ends", "ran_for", time.Since(started).Round(time.Second))
	return err
}

// natsName says where messages go, without a password that the URL may hold.
func natsName(remote, local string) string {
	if remote != "" {
		return "forwarded to <server_url>"
	}
	return local
}

func logHandler(f *os.File) slog.Handler {
	if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		return slog.NewTextHandler(f, nil)
	}
	return slog.NewJSONHandler(f, nil)
}
