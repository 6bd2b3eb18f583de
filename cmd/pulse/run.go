package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/daemon"
	"github.com/wazuh-pulse/pulse/internal/hint"
	"github.com/wazuh-pulse/pulse/internal/statedir"
	"github.com/wazuh-pulse/pulse/internal/systemd"
)

type runCommand struct{ settingsFlag }

func (*runCommand) Help() string {
	return `Where a Wazuh manager is installed (in <pulse><home>), Pulse watches its agents through it. Elsewhere agents connect to
Pulse (<remote><port>, 1514 by default) with the keys of client.keys. Messages are on NATS: on the embedded server
(<nats><listen>), or forwarded to <nats><server_url>.

    pulse run --config /var/ossec/etc/pulse.conf

The log goes to standard error, as text on a terminal and as JSON elsewhere. SIGINT or SIGTERM ends the daemon cleanly
within 5 seconds. SIGHUP reads the settings again (systemctl reload pulse): those that docs/settings.md marks take effect, the
log has the names of the others, and a file with a mistake changes nothing.`
}

func (c *runCommand) Run(e *env) error {
	reload := make(chan os.Signal, 1) // a signal during the start is kept
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)
	loaded, err := c.loadAndCheckFiles(e)
	if err != nil {
		return err
	}
	level := new(slog.LevelVar)
	log := slog.New(logHandler(e.stderr, level))
	setLogLevel(level, &loaded.Config)
	daemon.SetGCPercent()
	node, err := daemon.Open(e.ctx, &loaded.Config, version, log)
	if err != nil {
		if e.ctx.Err() != nil { // stopped while it started
			log.Info("pulse ends", "before", "it ran")
			return nil
		}
		return addSystemHint(nameStateDir(err, loaded.Pulse.StateDir))
	}
	log.Info("pulse runs", "version", version, "node", loaded.Pulse.NodeName, "agents_at", agentsAddress(node, &loaded.Config),
		"nats", natsAddress(&loaded.NATS, node.NATSURL()), "console", addrOrOff(node.ConsoleAddr()), "settings", loaded.Files)
	started := time.Now()
	ctx, ended := context.WithCancel(e.ctx)
	var notifiers sync.WaitGroup
	notifiers.Go(func() { systemd.Notify(ctx, node, log) })
	notifiers.Go(func() { daemon.TuneGCPercent(ctx) })
	notifiers.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-reload:
				c.reloadSettings(e, node, level, log)
			}
		}
	})
	err = node.Run(ctx)
	ended()
	notifiers.Wait()
	log.Info("pulse ends", "ran_for", time.Since(started).Round(time.Second))
	return err
}

// reloadSettings reads the settings again, and applies them to the node.
func (c *runCommand) reloadSettings(e *env, node *daemon.Node, level *slog.LevelVar, log *slog.Logger) {
	ended := systemd.NotifyReloading(log)
	defer ended()
	loaded, err := c.loadAndCheckFiles(e)
	if err != nil {
		node.RejectSettings(err)
		return
	}
	if now, err := node.Reload(&loaded.Config); err == nil {
		setLogLevel(level, &now)
	}
}

// setLogLevel sets the level of the settings, which are checked already.
func setLogLevel(level *slog.LevelVar, cfg *config.Config) {
	_ = level.UnmarshalText([]byte(cfg.Pulse.LogLevel))
}

// nameStateDir adds the setting of the state directory to an error about a file in it.
func nameStateDir(err error, dir string) error {
	if _, named := errors.AsType[*statedir.Error](err); named || !isUnder(dir, failedPath(err)) {
		return err
	}
	return fmt.Errorf("%w (<pulse><state_dir>)", err)
}

// failedPath returns the file of an error of the file system, "" if it is no such error.
func failedPath(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Path
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		return e.New
	}
	return ""
}

func isUnder(dir, path string) bool {
	below, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(below)
}

// addSystemHint adds to an error of the operating system what to do about it. Such an
// error is no mistake in the settings: a port may be free later, and the service manager
// tries again. An error that has a hint keeps that.
func addSystemHint(err error) error {
	switch {
	case slices.ContainsFunc(hint.Split(err), func(p hint.Part) bool { return p.Hint != "" }):
		return err
	case errors.Is(err, syscall.EADDRINUSE):
		return hint.Add(err, "another Pulse or a Wazuh manager may use it: stop that, or set another port")
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return hint.Add(err, "set an address of this host")
	case errors.Is(err, fs.ErrPermission):
		return hint.Add(err, "run as a user who has the right, or set another path")
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EROFS):
		return hint.Add(err, "set another path")
	case errors.Is(err, syscall.ENOSPC):
		return hint.Add(err, "free some space there, or set another path")
	}
	return err
}

// agentsAddress returns where agents connect, for the log.
func agentsAddress(node *daemon.Node, cfg *config.Config) string {
	if addr := node.AgentAddr(); addr.IsValid() {
		return addr.String()
	}
	return "the manager in " + cfg.Pulse.Home
}

// natsAddress returns where messages go, for the log.
func natsAddress(cfg *config.NATS, local string) string {
	switch {
	case !cfg.Enabled:
		return "off"
	case cfg.ServerURL != "":
		return "forwarded to <server_url>"
	}
	return local
}

func addrOrOff(addr net.Addr) string {
	if addr == nil {
		return "off"
	}
	return addr.String()
}

// logHandler writes text to a terminal and JSON elsewhere. Both have durations with
// their unit.
func logHandler(f *os.File, level slog.Leveler) slog.Handler {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Value.Kind() == slog.KindDuration {
			a.Value = slog.StringValue(a.Value.Duration().String())
		}
		return a
	}}
	if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		return slog.NewTextHandler(f, options)
	}
	return slog.NewJSONHandler(f, options)
}
