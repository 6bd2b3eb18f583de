package main

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/daemon"
	"github.com/wazuh-pulse/pulse/internal/remote"
	"github.com/wazuh-pulse/pulse/internal/sealing"
)

// settingsFlag names the settings files of the commands that need them.
type settingsFlag struct {
	Config []string `short:"c" sep:"none" placeholder:"FILE" help:"Settings file; may be repeated, later ones override. Default: /var/ossec/etc/pulse.conf if it exists."`
}

// load reads the settings. What they warn of goes to stderr.
func (f *settingsFlag) load(e *env) (*config.Loaded, error) { return f.loadWith(e, nil) }

// loadWith is load, with what the command line says instead.
func (f *settingsFlag) loadWith(e *env, overrides []config.Override) (*config.Loaded, error) {
	loaded, err := config.LoadWith(overrides, f.Config...)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EISDIR) {
			return nil, settingsError{err}
		}
		return nil, err
	}
	for _, w := range loaded.Warnings {
		fmt.Fprintln(e.stderr, errorLines("pulse: warning: ", w))
	}
	return loaded, nil
}

// loadAll reads the settings, and the files that they name as the daemon does.
func (f *settingsFlag) loadAll(e *env) (*config.Loaded, error) {
	loaded, err := f.load(e)
	if err != nil {
		return nil, err
	}
	if err := loaded.CheckFiles(); err != nil {
		return nil, err
	}
	if err := sealing.CheckKeys(&loaded.Config); err != nil {
		return nil, settingsError{err}
	}
	if loaded.NATS.Enabled && loaded.NATS.ServerURL != "" {
		if err := remote.Check(daemon.RemoteConfig(&loaded.Config, nil)); err != nil {
			return nil, settingsError{err}
		}
	}
	return loaded, nil
}
