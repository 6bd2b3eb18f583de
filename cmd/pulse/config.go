package main

import (
	"fmt"
	"strings"

	"github.com/wazuh-pulse/pulse/internal/config"
)

type configCommand struct {
	Check configCheckCommand `cmd:"" help:"Check settings and say what was understood."`
	Print configPrintCommand `cmd:"" help:"Print every setting in effect, and where it came from."`
}

type configCheckCommand struct {
	settingsFlag
	File []string `arg:"" optional:"" help:"Settings files, as with --config."`
}

func (c *configCheckCommand) Run(e *env) error {
	c.Config = append(c.Config, c.File...)
	loaded, err := c.load()
	if err != nil {
		return err
	}
	if err := loaded.CheckFiles(); err != nil {
		return err
	}
	read := strings.Join(loaded.Files, ", ")
	if read == "" {
		read = "no settings file, all defaults"
	}
	fmt.Fprintf(e.stdout, "%s: good\n", read)
	for _, s := range loaded.Settings() {
		if s.Source != "default" {
			fmt.Fprintf(e.stdout, "  %s = %s  (%s)\n", s.Path, s.Value, s.Source)
		}
	}
	fmt.Fprintln(e.stdout, understood(&loaded.Config))
	return nil
}

// understood says in plain words what the settings do.
func understood(c *config.Config) string {
	var b strings.Builder
	protocols := map[[2]bool]string{{true, false}: "tcp", {false, true}: "udp", {true, true}: "tcp and udp"}[[2]bool{c.Remote.TCP, c.Remote.UDP}]
	fmt.Fprintf(&b, "Agents of %s connect to %v port %d, %s.\n", c.Pulse.ClientKeys, c.Remote.LocalIP, c.Remote.Port, protocols)
	if k := c.KeepAlive; k.Enabled {
		fmt.Fprintf(&b, "Each gets a keep-alive (%s) every %v; %d missed in a row, or %v of silence, and it is disconnected.\n",
			k.Method, k.Interval, k.MaxMissed, k.Timeout)
	} else {
		fmt.Fprintf(&b, "They get no keep-alives; after %v of silence one is disconnected.\n", k.Timeout)
	}
	switch {
	case !c.NATS.Enabled:
		b.WriteString("Nothing is published on NATS.")
	case c.NATS.ServerURL != "":
		fmt.Fprintf(&b, "Messages on %s.> are forwarded to the NATS server of <server_url>.", c.NATS.SubjectPrefix)
	default:
		fmt.Fprintf(&b, "Messages on %s.> are at nats://%s.", c.NATS.SubjectPrefix, c.NATS.Listen)
	}
	return b.String()
}

type configPrintCommand struct{ settingsFlag }

func (c *configPrintCommand) Run(e *env) error {
	loaded, err := c.load()
	if err != nil {
		return err
	}
	return loaded.WriteXML(e.stdout)
}
