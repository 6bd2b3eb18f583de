package main

import (
	"os"
	"time"

	"github.com/wazuh-pulse/pulse/internal/bench"
)

// A measurement runs this program again for each process that it needs beside
// itself. A child ends when its standard input does.

// natsServerCommand is the NATS server that [publishCommand] publishes to.
type natsServerCommand struct {
	Dir  string `arg:""`
	Port int    `arg:"" default:"0"`
}

func (c *natsServerCommand) Run() error { return bench.ServeNATS(c.Dir, c.Port, os.Stdin, os.Stdout) }

// soakNodeCommand is the node of [soakCommand].
type soakNodeCommand struct {
	Dir string `arg:""`
	URL string `arg:""`
}

func (c *soakNodeCommand) Run() error {
	return bench.RunSoakNode(c.Dir, c.URL, os.Stdin, os.Stdout)
}

// managerCommand is the simulated manager of [attachCommand].
type managerCommand struct {
	Dir    string `arg:""`
	Agents int    `arg:""`
	Wazuh  int    `arg:"" default:"4"`
}

func (c *managerCommand) Run() error {
	return bench.RunManager(c.Dir, c.Agents, c.Wazuh, os.Stdin, os.Stdout)
}

// agentsCommand is the agents of that manager.
type agentsCommand struct {
	Addr   string `arg:""`
	Agents int    `arg:""`
	Wazuh  int    `arg:"" default:"4"`
}

func (c *agentsCommand) Run() error {
	return bench.RunAgents(c.Addr, c.Agents, c.Wazuh, os.Stdin, os.Stdout)
}

// otherClientCommand is a client of that manager besides Pulse.
type otherClientCommand struct {
	Dir   string `arg:""`
	Agent string `arg:""`
}

func (c *otherClientCommand) Run() error {
	return bench.RunOtherClient(c.Dir, c.Agent, os.Stdin, os.Stdout)
}

// bareReaderCommand is what an attached node is compared with.
type bareReaderCommand struct {
	Dir    string `arg:""`
	Agents int    `arg:""`
}

func (c *bareReaderCommand) Run() error {
	return bench.RunBareReader(c.Dir, c.Agents, os.Stdin, os.Stdout)
}

// listenNodeCommand is the node of [listenCommand].
type listenNodeCommand struct {
	Dir    string `arg:""`
	Agents int    `arg:""`
}

func (c *listenNodeCommand) Run() error {
	return bench.RunListenNode(c.Dir, c.Agents, os.Stdin, os.Stdout)
}

// bareManagerCommand is what that node is compared with.
type bareManagerCommand struct {
	Agents int `arg:""`
}

func (c *bareManagerCommand) Run() error { return bench.RunBareManager(c.Agents, os.Stdin, os.Stdout) }

// listenFleetCommand is agents of either.
type listenFleetCommand struct {
	Addr    string        `arg:""`
	Network string        `arg:""`
	First   int           `arg:""`
	Agents  int           `arg:""`
	Ramp    time.Duration `arg:""`
}

func (c *listenFleetCommand) Run() error {
	return bench.RunListenFleet(c.Addr, c.Network, c.First, c.Agents, c.Ramp, os.Stdin, os.Stdout)
}
