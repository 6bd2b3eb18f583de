package main

import (
	"fmt"
	"io"
	"time"

	"github.com/wazuh-pulse/pulse/internal/demo"
)

type demoCommand struct {
	Agents int           `default:"50" placeholder:"N" help:"How many agents to simulate (1 to 5000). Default: ${default}."`
	For    time.Duration `default:"0s" placeholder:"DURATION" help:"How long to run, such as 30s. Default: until Ctrl-C."`
	JSON   bool          `help:"Print one JSON object at the end instead of a story."`
}

func (*demoCommand) Help() string {
	return `Everything runs on free loopback ports and in a temporary directory, with timings that are short enough to see each
kind of death found: shutdown, kill (the connection closes), hang (it stays open and silent), and a cut network.

    pulse demo --for 30s
    pulse demo --agents 200 --for 30s --json

The exit code is 1 if a death was not found or a living agent was called dead. In the last seconds before --for is over no
agent dies, as there would be no time to find it: give it 15 s or more.`
}

func (c *demoCommand) Run(e *env) error {
	if c.Agents < 1 || c.Agents > 5000 {
		return usageError{fmt.Errorf("--agents %d: want 1 to 5000", c.Agents)}
	}
	if c.For < 0 {
		return usageError{fmt.Errorf("--for %v: want a positive duration, or 0 for no end", c.For)}
	}
	story := e.stdout
	if c.JSON {
		story = io.Discard
	}
	report, err := demo.Run(e.ctx, demo.Config{Agents: c.Agents, For: c.For, Version: version, Out: story})
	if err != nil {
		return err
	}
	if c.JSON {
		err = report.WriteJSON(e.stdout)
	} else {
		report.WriteText(e.stdout)
	}
	if err != nil {
		return err
	}
	return report.Err()
}
