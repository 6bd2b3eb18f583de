package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

type simCommand struct {
	Keys     string        `required:"" placeholder:"FILE" help:"The agents' keys: a client.keys."`
	Manager  string        `required:"" placeholder:"HOST:PORT" help:"The manager to connect to."`
	Agents   int           `placeholder:"N" help:"Simulate the first N agents of the file. Default: all."`
	Notify   time.Duration `default:"10s" placeholder:"DURATION" help:"Between an agent's own keep-alives. Default: ${default}."`
	For      time.Duration `placeholder:"DURATION" help:"How long to run. Default: until Ctrl-C."`
	Protocol string        `enum:"tcp,udp" default:"tcp" placeholder:"tcp|udp" help:"Default: ${default}."`
	Crypto   string        `enum:"aes,blowfish" default:"aes" placeholder:"aes|blowfish" help:"How the agents encrypt. Default: ${default}."`
}

func (*simCommand) Help() string {
	return `All agents dial at once, as after a manager's restart, and say goodbye at the end. A line a second says how they are.
Point it only at a manager that is yours: it takes the place of the agents in the file.`
}

func (c *simCommand) Run(e *env) error {
	keys, err := c.keys()
	if err != nil {
		return usageError{err}
	}
	method := secmsg.AES
	if c.Crypto == "blowfish" {
		method = secmsg.Blowfish
	}
	fleet, err := agentsim.New(agentsim.Config{Manager: c.Manager, Network: c.Protocol, Method: method, Keys: keys, Notify: c.Notify})
	if err != nil {
		return usageError{err}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(e.ctx))
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- fleet.Run(ctx) }()
	stop := e.ctx
	if c.For > 0 {
		var over context.CancelFunc
		stop, over = context.WithTimeout(e.ctx, c.For)
		defer over()
	}
	watchSim(stop, e.stdout, fleet)
	fleet.Shutdown()
	cancel()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (c *simCommand) keys() ([]clientkeys.Key, error) {
	set, problems, err := clientkeys.ReadFile(c.Keys)
	if err != nil {
		return nil, err
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("%s: %w", c.Keys, problems[0])
	}
	var keys []clientkeys.Key
	for key := range set.All() {
		keys = append(keys, *key)
	}
	if c.Agents > len(keys) {
		return nil, fmt.Errorf("--agents %d: %s has only %d", c.Agents, c.Keys, len(keys))
	}
	if c.Agents > 0 {
		keys = slices.Clip(keys[:c.Agents])
	}
	return keys, nil
}

// watchSim prints a line a second until ctx ends.
func watchSim(ctx context.Context, w io.Writer, fleet *agentsim.Fleet) {
	start := time.Now()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	settled := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s := fleet.Stats()
		if s.Settled > 0 && !settled {
			settled = true
			fmt.Fprintf(w, "all %d agents connected and acknowledged after %v\n", s.Agents, s.Settled.Round(time.Millisecond))
		}
		fmt.Fprintf(w, "%5.0fs  %d of %d connected  %d keep-alives, %d acks (p50 %v, p99 %v, max %v)  %d requests answered  %d refused, %d lost\n",
			time.Since(start).Seconds(), s.Connected, s.Agents, s.KeepAlives, s.Acks,
			s.Ack.P50.Round(10*time.Microsecond), s.Ack.P99.Round(10*time.Microsecond), s.Ack.Max.Round(10*time.Microsecond),
			s.Requests, s.Refused, s.Lost+s.Silent+s.Unanswered)
	}
}
