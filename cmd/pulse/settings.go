package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/wazuh-pulse/pulse/internal/config"
)

// settingsFlag names the settings files of the commands that need them.
type settingsFlag struct {
	Config []string `short:"c" sep:"none" placeholder:"FILE" help:"Settings file; may be repeated, later ones override. Default: /var/ossec/etc/pulse.conf if it exists."`
}

// load reads the settings. What they warn of goes to stderr.
func (f *settingsFlag) load(e *env) (*config.Loaded, error) {
	loaded, err := config.Load(f.Config...)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			return nil, usageError{err}
		}
		return nil, err
	}
	for _, w := range loaded.Warnings {
		fmt.Fprintf(e.stderr, "pulse: warning: %v\n", w)
	}
	return loaded, nil
}
