package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/demo"
	"github.com/wazuh-pulse/pulse/internal/plural"
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
	JSON     bool          `help:"Print one JSON object at the end instead of a line a second."`
}

func (*simCommand) Help() string {
	return `All agents dial at once, as after a manager's restart, or one after the other with --ramp, and log out at the end. A line a second
has their state. The exit code is 1 if none of them could connect.

    pulse sim --keys client.keys --manager 127.0.0.1:1514 --agents 100 --for 1m

Use it only with a manager of yours: it replaces the agents in the file.`
}

func (c *simCommand) Run(e *env) error {
	fleet, err := c.newFleet()
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
	if c.JSON {
		<-stop.Done()
	} else {
		printSimProgress(stop, e.stdout, fleet)
	}
	last := fleet.Stats()
	fleet.Shutdown()
	err = <-ended
	if c.JSON {
		err = cmp.Or(err, printJSON(e.stdout, newSimResult(&last)))
	} else {
		printSimSummary(e.stdout, &last)
	}
	if err == nil && last.Startup.Count == 0 {
		err = fmt.Errorf("no agent could connect to %s: is a manager there, over %s, with these keys?", c.Manager, c.Protocol)
	}
	return err
}

func (c *simCommand) newFleet() (*agentsim.Fleet, error) {
	if c.For < 0 || c.Ramp < 0 || c.Notify <= 0 {
		return nil, errors.New("--for, --ramp and --notify: want a positive duration, such as 30s")
	}
	keys, err := c.readAgentKeys()
	if err != nil {
		return nil, err
	}
	method := secmsg.AES
	if c.Crypto == "blowfish" {
		method = secmsg.Blowfish
	}
	return agentsim.New(agentsim.Config{Manager: c.Manager, Network: c.Protocol, Method: method, Keys: keys, Notify: c.Notify, Ramp: c.Ramp})
}

func (c *simCommand) readAgentKeys() ([]clientkeys.Key, error) {
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

// printSimProgress prints a line a second until ctx ends.
func printSimProgress(ctx context.Context, w io.Writer, fleet *agentsim.Fleet) {
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
			fmt.Fprintf(w, "all %s connected and acknowledged after %v\n", plural.CountNoun(s.Agents, "agent"), s.Settled.Round(time.Millisecond))
		case <-tick.C:
			s := fleet.Stats()
			fmt.Fprintf(w, "%5.0fs  %d of %d connected  %d keep-alives, %d acks (p50 %v, p99 %v)  %d requests answered  %d refused, %d lost\n",
				time.Since(start).Seconds(), s.Connected, s.Agents, s.KeepAlives, s.Acks, roundFine(s.Ack.P50), roundFine(s.Ack.P99),
				s.Requests, s.Refused+s.Unanswered, s.Lost+s.Silent)
		}
	}
}

// printSimSummary prints the totals of a run.
func printSimSummary(w io.Writer, s *agentsim.Stats) {
	fmt.Fprintf(w, "\n%d of %s connected at the end, after %s and %s.\n", s.Connected, plural.CountNoun(s.Agents, "agent"),
		plural.CountNoun(s.Startups, "startup"), plural.CountNoun(s.KeepAlives, "keep-alive"))
	fmt.Fprintf(w, "  ack to a keep-alive: p50 %v, p99 %v, max %v (%d)\n", roundFine(s.Ack.P50), roundFine(s.Ack.P99), roundFine(s.Ack.Max), s.Ack.Count)
	fmt.Fprintf(w, "  ack to a startup:    p50 %v, p99 %v, max %v (%d)\n", roundFine(s.Startup.P50), roundFine(s.Startup.P99), roundFine(s.Startup.Max), s.Startup.Count)
	fmt.Fprintf(w, "  %s answered; %d refused, %d without an answer, %d lost, %d fell silent, %d garbled\n",
		plural.CountNoun(s.Requests, "request"), s.Refused, s.Unanswered, s.Lost, s.Silent, s.Garbled)
}

// simResult is what the agents did, in JSON.
type simResult struct {
	Agents     int    `json:"agents"`
	Connected  int    `json:"connected"` // at the end
	Startups   uint64 `json:"startups"`
	KeepAlives uint64 `json:"keepalives"`
	Answered   uint64 `json:"requests_answered"`
	Refused    uint64 `json:"refused"`
	Unanswered uint64 `json:"unanswered"`
	Lost       uint64 `json:"lost"`
	Silent     uint64 `json:"fell_silent"`
	Garbled    uint64 `json:"garbled"`

	SettledMS  *float64   `json:"settled_ms"` // until all were connected for the first time; null: they never were
	Ack        simLatency `json:"ack"`
	StartupAck simLatency `json:"startup_ack"`
}

type simLatency struct {
	Count uint64  `json:"count"`
	P50MS float64 `json:"p50_ms"`
	P99MS float64 `json:"p99_ms"`
	MaxMS float64 `json:"max_ms"`
}

func newSimResult(s *agentsim.Stats) *simResult {
	ms := func(d time.Duration) float64 { return float64(roundFine(d)) / float64(time.Millisecond) }
	latency := func(l *agentsim.Latency) simLatency { return simLatency{l.Count, ms(l.P50), ms(l.P99), ms(l.Max)} }
	r := &simResult{Agents: s.Agents, Connected: s.Connected, Startups: s.Startups, KeepAlives: s.KeepAlives, Answered: s.Requests,
		Refused: s.Refused, Unanswered: s.Unanswered, Lost: s.Lost, Silent: s.Silent, Garbled: s.Garbled, Ack: latency(&s.Ack), StartupAck: latency(&s.Startup)}
	if s.Settled > 0 {
		settled := ms(s.Settled)
		r.SettledMS = &settled
	}
	return r
}

func roundFine(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }

type demoCommand struct{ demo.Flags }

func (*demoCommand) Help() string {
	return `Everything runs on free loopback ports and in a temporary directory, with timings short enough to see each
kind of failure detected: kill (the agent is gone, its host lives: an alert at once), reboot (no alert), planned (a host that is
switched off while its agent is silenced: no alert), off (a host that is gone: an alert after 6 s), hang (the connection stays
open and silent), cut (no network), and shutdown. The agents' hosts are simulated: nothing is sent to any host.

    pulse demo --for 30s
    pulse demo --agents 200 --for 30s --json
    pulse demo --outage
    pulse demo --server nats://127.0.0.1:4222

The exit code is 1 if a failure was not detected, a running agent was reported as disconnected, a loss was no alert that had to
be one, or a reboot was one. In the last seconds before
--for is over no agent fails, as there would be no time to detect it: give it 20 s or more.

With --outage all agents lose their network at once: the exit code is 1 unless that is published as one fleet_outage
and one fleet_recovered, without an alert of a single agent. It ends by itself, after some 40 s.

With --cluster there are three nodes, a load balancer before them, and a NATS server: agents die, move from node to node, one by
one and all at once; a node is killed, and another one is cut off from the server. It takes a minute. The exit code is 1 if an
agent that lives was called dead, or anything else was false, was missing or came twice.

    pulse demo --cluster --for 60s

With --attach it is as with most installations: agents connect to a stock Wazuh manager, a simulated one, and Pulse is beside it.
That manager is not a part of this program. In a clone:

    go run ./cmd/pulse-bench demo --attach --for 40s

With --server the messages go to a NATS server of yours, on subjects that begin with pulse-demo. Stop it for a while and
start it again: agents go on failing meanwhile, and when it is back every message arrives, in order and once. Where it has
JetStream, the demo stores the messages in a stream of its own and removes that at its end. The exit code is 1 if a message
did not arrive.

With --sign and --encrypt every message is verified and decrypted before it counts, and one that is refused makes the exit code 1.

    pulse demo --sign --encrypt

With --state-dir the demo keeps its state:

    pulse demo --for 30s --state-dir /tmp/demo && pulse audit verify /tmp/demo/audit`
}

var errAttach = errors.New("--attach: the simulated manager is a part of pulse-bench and not of this program\n" +
	"use: go run github.com/wazuh-pulse/pulse/cmd/pulse-bench@latest demo --attach")

func (c *demoCommand) Run(e *env) error {
	if c.Cluster {
		return c.runCluster(e)
	}
	cfg, err := c.Config()
	if err == nil && c.Attach {
		err = errAttach
	}
	if err != nil {
		return usageError{err}
	}
	cfg.Version, cfg.Out = version, e.stdout
	if c.JSON {
		cfg.Out = io.Discard
	}
	report, err := demo.Run(e.ctx, cfg)
	if err != nil {
		return err
	}
	return writeResult(e.stdout, report, c.JSON)
}

func (c *demoCommand) runCluster(e *env) error {
	cfg, err := c.ClusterConfig()
	if err == nil && c.Attach {
		err = errAttach
	}
	if err != nil {
		return usageError{err}
	}
	cfg.Version, cfg.Out = version, e.stdout
	if c.JSON {
		cfg.Out = io.Discard
	}
	report, err := demo.RunCluster(e.ctx, cfg)
	if err != nil {
		return err
	}
	return writeResult(e.stdout, report, c.JSON)
}
