package demo

import (
	"errors"
	"fmt"
	"time"
)

// outageLength is how long the outage of a demo with --outage lasts.
const outageLength = 20 * time.Second

// Flags are the flags of a command that runs a demo, with kong's tags.
type Flags struct {
	Agents  int           `default:"50" placeholder:"N" help:"How many agents to simulate (1 to 5000, with --outage 20 or more). Default: ${default}."`
	For     time.Duration `default:"0s" placeholder:"DURATION" help:"How long to run, such as 30s. Default: until Ctrl-C, or until the outage is over."`
	Cluster bool          `help:"Show a cluster instead: three nodes behind a load balancer, whose agents die and move, one of which is killed, and one cut off."`
	Outage  bool          `help:"Cut all agents off from the network at once, for 20 s, instead of one after the other."`
	Attach  bool          `help:"Let the agents be a stock Wazuh manager's, a simulated one, and attach Pulse to that. It takes pulse-bench: see below."`
	Server  string        `placeholder:"URL" help:"Publish to this NATS server, such as nats://127.0.0.1:4222, instead of one of the demo's own."`
	State   string        `name:"state-dir" placeholder:"DIR" type:"path" help:"Keep Pulse's own data here, and leave it there: its audit log, and the messages. It must not be there yet."`
	Sign    bool          `help:"Sign the messages, and verify each as an XDR platform does."`
	Encrypt bool          `help:"Sign and encrypt them. With both, it is told how a second terminal can read along."`
	JSON    bool          `help:"Print one JSON object at the end instead of a story."`
}

// ClusterConfig returns the configuration of a demo of a cluster that the flags describe. The
// error is for the user.
func (f *Flags) ClusterConfig() (ClusterConfig, error) {
	cfg := ClusterConfig{Agents: f.Agents, For: f.For}
	switch {
	case f.Agents < MinClusterAgents || f.Agents > 5000:
		return cfg, fmt.Errorf("--agents %d: with --cluster want %d to 5000", f.Agents, MinClusterAgents)
	case f.For < 0:
		return cfg, fmt.Errorf("--for %v: want a positive duration, or 0 for no end", f.For)
	case f.Outage || f.Server != "" || f.State != "" || f.Sign || f.Encrypt:
		return cfg, errors.New("--cluster: it has a server and directories of its own, signs, and shows no outage: of the other flags it takes --agents, --for, --attach and --json")
	}
	return cfg, nil
}

// Config returns the configuration that the flags describe. The error is for the user.
func (f *Flags) Config() (Config, error) {
	cfg := Config{Agents: f.Agents, For: f.For, Server: f.Server, StateDir: f.State, Sign: f.Sign || f.Encrypt, Encrypt: f.Encrypt}
	if f.Outage {
		cfg.Outage = outageLength
	}
	switch least := OutageTime(outageLength); {
	case f.Agents < 1 || f.Agents > 5000:
		return cfg, fmt.Errorf("--agents %d: want 1 to 5000", f.Agents)
	case f.For < 0:
		return cfg, fmt.Errorf("--for %v: want a positive duration, or 0 for no end", f.For)
	case f.Outage && f.Attach:
		return cfg, errors.New("--outage and --attach: one at a time")
	case f.Outage && f.Agents < MinOutageAgents:
		return cfg, fmt.Errorf("--agents %d: with --outage want %d or more: fewer losses are told one by one", f.Agents, MinOutageAgents)
	case f.Outage && f.For > 0 && f.For < least:
		return cfg, fmt.Errorf("--for %v: with --outage want %v or more, or leave it out", f.For, least)
	}
	return cfg, nil
}
