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
	Ramp     time.Duration `placeholder:"DURATION" help:"Start the agents evenly over this time. Default: all at once."`
	For      time.Duration `placeholder:"DURATION" help:"How long to run. Default: until Ctrl-C."`
	Protocol string        `enum:"tcp,udp" default:"tcp" placeholder:"tcp|udp" help:"How the agents connect. Default: ${default}."`
	Crypto   string        `enum:"aes,blowfish" default:"aes" placeholder:"aes|blowfish" help:"How the agents encrypt. Default: ${default}."`
}

func (*simCommand) Help() string {
	return `All agents dial at once, as after a manager's restart, or one after the other with --ramp, and say goodbye at the end. A line a second says how they are.
The exit code is 1 if not one of them got in.

    pulse sim --keys client.keys --manager 127.0.0.1:1514 --agents 100 --for 1m

Point it only at a manager that is yours: it takes the place of the agents in the file.`
}

func (c *simCommand) Run(e *env) error {
	fleet, err := c.fleet()
	if err != nil {
		return usageError{err}
	}
	stop := e.ctx
	if c.For > 0 {
		var over context.CancelFunc
		stop, over = context.WithTimeout(e.ctx, c.For)
		defer over()
	}
	ended := make(chan error, 1)
	go func() { ended <- fleet.Run(context.Background()) }() // until Shutdown
	watchSim(stop, e.stdout, fleet)
	last := fleet.Stats()
	fleet.Shutdown()
	err = <-ended
	tellSim(e.stdout, &last)
	if err == nil && last.Startup.Count == 0 {
		err = fmt.Errorf("not one agent got in at %s: is a manager there, over %s, with these keys?", c.Manager, c.Protocol)
	}
	return err
}

func (c *simCommand) fleet() (*agentsim.Fleet, error) {
	if c.For < 0 || c.Ramp < 0 || c.Notify <= 0 {
		return nil, errors.New("--for, --ramp and --notify: want a positive duration, such as 30s")
	}
	keys, err := c.keys()
	if err != nil {
		return nil, err
	}
	method := secmsg.AES
	if c.Crypto == "blowfish" {
		method = secmsg.Blowfish
	}
	return agentsim.New(agentsim.Config{Manager: c.Manager, Network: c.Protocol, Method: method, Keys: keys, Notify: c.Notify, Ramp: c.Ramp})
}

func (c *simCommand) keys() ([]clientkeys.Key, error) {
	set, problems, err := clientkeys.ReadFile(c.Keys)
	if err != nil {
		return nil, err
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("%s: %w", c.Keys, problems[0])
	}
	keys := set.Keys()
	if c.Agents < 0 || c.Agents > len(keys) {
		return nil, fmt.Errorf("--agents %d: want 1 to %d, as many as %s has", c.Agents, len(keys), c.Keys)
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
	settled := fleet.Settled()
	for {
		select {
		case <-ctx.Done():
			return
		case <-settled:
			settled = nil
			s := fleet.Stats()
			fmt.Fprintf(w, "all %s connected and acknowledged after %v\n", counted(s.Agents, "agent"), s.Settled.Round(time.Millisecond))
		case <-tick.C:
			s := fleet.Stats()
			fmt.Fprintf(w, "%5.0fs  %d of %d connected  %d keep-alives, %d acks (p50 %v, p99 %v)  %d requests answered  %d refused, %d lost\n",
				time.Since(start).Seconds(), s.Connected, s.Agents, s.KeepAlives, s.Acks, fine(s.Ack.P50), fine(s.Ack.P99),
				s.Requests, s.Refused+s.Unanswered, s.Lost+s.Silent)
		}
	}
}

// tellSim sums up a run.
func tellSim(w io.Writer, s *agentsim.Stats) {
	fmt.Fprintf(w, "\n%d of %s connected at the end, after %s and %s.\n", s.Connected, counted(s.Agents, "agent"),
		counted(int(s.Startups), "startup"), counted(int(s.KeepAlives), "keep-alive"))
	fmt.Fprintf(w, "  ack to a keep-alive: p50 %v, p99 %v, max %v (%d)\n", fine(s.Ack.P50), fine(s.Ack.P99), fine(s.Ack.Max), s.Ack.Count)
	fmt.Fprintf(w, "  ack to a startup:    p50 %v, p99 %v, max %v (%d)\n", fine(s.Startup.P50), fine(s.Startup.P99), fine(s.Startup.Max), s.Startup.Count)
	fmt.Fprintf(w, "  %s answered; %d refused, %d without an answer, %d lost, %d fell silent, %d garbled\n",
		counted(int(s.Requests), "request"), s.Refused, s.Unanswered, s.Lost, s.Silent, s.Garbled)
}

func fine(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
