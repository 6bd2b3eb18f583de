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
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/daemon"
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
log names the others, and a file with a mistake changes nothing.`
}

func (c *runCommand) Run(e *env) error {
	reload := make(chan os.Signal, 1) // one that comes while the node starts is not lost
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)
	loaded, err := c.loadAll(e)
	if err != nil {
		return err
	}
	level := new(slog.LevelVar)
	log := slog.New(logHandler(e.stderr, level))
	setLogLevel(level, &loaded.Config)
	daemon.SetGCPercent()
	node, err := daemon.Open(e.ctx, &loaded.Config, version, log)
	if err != nil {
		if e.ctx.Err() != nil { // told to end while it started
			log.Info("pulse ends", "before", "it ran")
			return nil
		}
		return withHint(inStateDir(err, loaded.Pulse.StateDir))
	}
	log.Info("pulse runs", "version", version, "node", loaded.Pulse.NodeName, "agents_at", agentsAt(node, &loaded.Config),
		"nats", natsName(&loaded.NATS, node.NATSURL()), "console", nameOf(node.ConsoleAddr()), "settings", loaded.Files)
	started := time.Now()
	ctx, ended := context.WithCancel(e.ctx)
	var telling sync.WaitGroup
	telling.Go(func() { systemd.Notify(ctx, node, log) })
	telling.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-reload:
				c.reload(e, node, level, log)
			}
		}
	})
	err = node.Run(ctx)
	ended()
	telling.Wait()
	log.Info("pulse ends", "ran_for", time.Since(started).Round(time.Second))
	return err
}

// reload reads the settings again, and has the node take them up.
func (c *runCommand) reload(e *env, node *daemon.Node, level *slog.LevelVar, log *slog.Logger) {
	ended := systemd.NotifyReloading(log)
	defer ended()
	loaded, err := c.loadAll(e)
	if err != nil {
		node.RejectSettings(err)
		return
	}
	if now, err := node.Reload(&loaded.Config); err == nil {
		setLogLevel(level, &now)
	}
}

// setLogLevel takes the level of the settings, which have made sure that it is one.
func setLogLevel(level *slog.LevelVar, cfg *config.Config) {
	_ = level.UnmarshalText([]byte(cfg.Pulse.LogLevel))
}

// inStateDir names the setting of the state directory, if that is what the error is about.
func inStateDir(err error, dir string) error {
	const setting = "<pulse><state_dir>"
	if text := err.Error(); !strings.Contains(text, dir) || strings.Contains(text, setting) {
		return err
	}
	return fmt.Errorf("%w (%s)", err, setting)
}

// withHint adds the way out to what the system does not give. That is no mistake
// in the settings: another program may let go of the port, and a service manager shall
// try again.
func withHint(err error) error {
	hint := ""
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		hint = "; another Pulse or a Wazuh manager may be there: stop that, or set another port"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		hint = "; that is no address of this host"
	case errors.Is(err, fs.ErrPermission):
		hint = "; run as a user who may, or set another"
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EROFS):
		hint = "; set another"
	case errors.Is(err, syscall.ENOSPC):
		hint = "; make room there, or set another"
	}
	return fmt.Errorf("%w%s", err, hint)
}

// agentsAt says where agents connect.
func agentsAt(node *daemon.Node, cfg *config.Config) string {
	if addr := node.AgentAddr(); addr.IsValid() {
		return addr.String()
	}
	return "the manager in " + cfg.Pulse.Home
}

// natsName says where messages go.
func natsName(cfg *config.NATS, local string) string {
	switch {
	case !cfg.Enabled:
		return "off"
	case cfg.ServerURL != "":
		return "forwarded to <server_url>"
	}
	return local
}

func nameOf(addr net.Addr) string {
	if addr == nil {
		return "off"
	}
	return addr.String()
}

// logHandler writes text for a person at a terminal, JSON for machines. Both
// have durations with their unit.
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
