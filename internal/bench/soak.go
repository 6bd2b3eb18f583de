package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/agentsim"
)

// SoakConfig configures [RunSoak].
type SoakConfig struct {
	Agents   int
	For      time.Duration
	Progress io.Writer
	pace     soakPace
}

// soakPace is what happens when in a round. Everything fails at its beginning.
type soakPace struct {
	ramp, notify, failing, natsAway, recover, calm time.Duration
	settle                                         time.Duration // the longest that the end may take
}

var hourlyPace = soakPace{ramp: ramp, notify: notifyInterval, failing: 20 * time.Second, natsAway: 30 * time.Second, recover: 45 * time.Second, calm: 55 * time.Second, settle: 2 * time.Minute}

// Each of these things is done in every fourth round, not in the same ones.
const (
	otherRounds  = 4
	natsRound    = 1
	networkRound = 3
	strangers    = 50 // connections of a round that are no agents'
)

// soak is a node that runs for long.
type soak struct {
	SoakConfig
	dir    string
	port   string // of the NATS server
	server *child
	node   *lineProcess
	fleet  *agentsim.Fleet
	ids    []string
	nc     *nats.Conn
	reader *soakReader
	report SoakReport
	random *rand.Rand
}

// RunSoak runs a node for a long time, while agents, networks and the NATS server fail,
// and looks at what it uses.
func RunSoak(ctx context.Context, cfg SoakConfig) (_ *SoakReport, err error) {
	if cfg.pace == (soakPace{}) {
		cfg.pace = hourlyPace
	}
	s := &soak{SoakConfig: cfg, reader: newSoakReader(), random: rand.New(rand.NewPCG(1, uint64(cfg.Agents))), report: SoakReport{Agents: cfg.Agents}}
	if s.dir, err = os.MkdirTemp("", "pulse-soak-"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.start(); err != nil {
		return nil, err
	}
	defer startFleet(s.fleet)()
	began := time.Now()
	samples, err := s.runRounds(ctx)
	if err != nil {
		return nil, err
	}
	s.report.Seconds = time.Since(began).Seconds()
	if err := s.waitForEnd(); err != nil {
		return nil, err
	}
	s.report.fillGrowth(samples)
	if !s.report.Judged {
		fmt.Fprintf(s.Progress, "%d rounds: from %d on it is judged whether something grows\n", len(samples), minRounds)
	}
	s.reader.fillReport(&s.report)
	roundFigures(&s.report)
	return &s.report, nil
}

// start starts the NATS server and the node, and makes the agents.
func (s *soak) start() (err error) {
	keys := makeKeys(s.Agents, 4)
	for _, k := range keys {
		s.ids = append(s.ids, k.ID)
	}
	if err := writeKeys(filepath.Join(s.dir, "client.keys"), s.Agents); err != nil {
		return err
	}
	s.port = "0"
	if err := s.startServer(); err != nil {
		return fmt.Errorf("start a NATS server: %w", err)
	}
	if err := s.readMessages(); err != nil {
		return err
	}
	if s.node, err = startLineProcess(SoakNodeArgs, s.dir, s.url()); err != nil {
		return err
	}
	s.fleet, err = agentsim.New(agentsim.Config{Manager: s.node.firstLine, Keys: keys, Spread: true, Ramp: s.pace.ramp, Notify: s.pace.notify})
	return err
}

func (s *soak) url() string { return "nats://127.0.0.1:" + s.port }

func (s *soak) startServer() error {
	p, err := startLineProcess(NATSServerArgs, filepath.Join(s.dir, "nats"), s.port)
	if err != nil {
		return err
	}
	s.server = p.child
	at, err := url.Parse(p.firstLine)
	if err == nil {
		s.port = at.Port()
	}
	return err
}

// killServer ends the NATS server's process without a warning.
func (s *soak) killServer() {
	_ = s.server.Process.Kill()
	_ = s.server.endAndWait() // its exit is by the signal
}

// readMessages makes the stream that the node publishes to, with what half an hour brings,
// and reads it.
func (s *soak) readMessages() (err error) {
	if s.nc, err = nats.Connect(s.url(), nats.Name("pulse-bench"), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond)); err != nil {
		return err
	}
	js, err := jetstream.New(s.nc)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	stream, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: pulseStream, Subjects: []string{pulsePrefix + ".>"}, Storage: jetstream.FileStorage,
		Duplicates: 2 * time.Minute, MaxAge: 30 * time.Minute})
	if err != nil {
		return err
	}
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return err
	}
	_, err = consumer.Consume(s.reader.readMessage)
	return err
}

// runRounds runs rounds until the time is over, and returns the node's state after each.
func (s *soak) runRounds(ctx context.Context) (samples []soakState, err error) {
	fmt.Fprintf(s.Progress, "%d agents connect\n", s.Agents)
	if err := s.waitUntil(startTime+10*s.pace.ramp, func(now *soakState) bool { return now.Active == s.Agents }); err != nil {
		return nil, fmt.Errorf("not all agents became active: %w", err)
	}
	for end, round := time.Now().Add(s.For), 0; time.Now().Before(end) && ctx.Err() == nil; round++ {
		if err := s.runRound(round); err != nil {
			return nil, err
		}
		now, err := s.readState("collect")
		if err != nil {
			return nil, err
		}
		samples = append(samples, now)
		fmt.Fprintf(s.Progress, "round %3d: %d MiB, heap %d MiB, %d goroutines, %d open files, %d active, %d waiting, %d files of %d MiB\n", round+1,
			now.Resident>>20, now.Heap>>20, now.Goroutines, now.Files, now.Active, now.Waiting, now.StateFiles, now.StateBytes>>20)
	}
	return samples, nil
}

// runRound makes things fail and recover, and waits until that is over.
func (s *soak) runRound(round int) error {
	began := time.Now()
	kinds := []agentsim.Failure{agentsim.Kill, agentsim.Hang, agentsim.Cut, agentsim.PowerOff, agentsim.Shutdown}
	if round%otherRounds == networkRound {
		s.report.Cuts++
		s.reader.cutAll()
		s.fleet.CutAll()
	}
	if round%otherRounds == natsRound {
		s.report.Outages++
		s.killServer()
	}
	closeStrangers := s.sendGarbage()
	defer closeStrangers()
	failing := s.random.Perm(len(s.ids))[:max(len(s.ids)/100, 1)]
	var ids []string
	for i, n := range failing {
		time.Sleep(time.Until(began.Add(s.pace.failing * time.Duration(i) / time.Duration(len(failing)))))
		ids = append(ids, s.ids[n])
		s.reader.failAgent(s.ids[n])
		if err := s.fleet.Fail(s.ids[n], kinds[(round+i)%len(kinds)]); err != nil {
			return err
		}
		s.report.Failed++
	}
	time.Sleep(time.Until(began.Add(s.pace.natsAway)))
	if round%otherRounds == natsRound {
		if err := s.startServer(); err != nil {
			return fmt.Errorf("start the NATS server again: %w", err)
		}
	}
	time.Sleep(time.Until(began.Add(s.pace.recover)))
	if round%otherRounds == networkRound {
		s.fleet.HealAll()
		s.reader.healAll()
	}
	for _, id := range ids {
		if err := s.fleet.Revive(id); err != nil {
			return err
		}
	}
	s.reader.reviveAgents(ids)
	time.Sleep(s.pace.calm)
	return nil
}

// sendGarbage connects as many strangers as a round has, which send what no agent does and
// keep their connections.
func (s *soak) sendGarbage() (closeAll func()) {
	var all []net.Conn
	for range strangers {
		c, err := net.DialTimeout("tcp", s.node.firstLine, answerTime)
		if err != nil {
			continue // the node has refused it
		}
		s.report.Strangers++
		all = append(all, c)
		text := make([]byte, s.random.IntN(2000))
		for i := range text {
			text[i] = byte(s.random.Uint32())
		}
		_, _ = c.Write(text) // the node may have closed it
	}
	return func() {
		for _, c := range all {
			_ = c.Close()
		}
	}
}

func (s *soak) readState(order string) (v soakState, err error) {
	if err := s.node.readAnswer(order, &v); err != nil {
		return v, fmt.Errorf("ask the node for its state: %w", err)
	}
	return v, nil
}

var errNotYet = errors.New("not in time")

func (s *soak) waitUntil(limit time.Duration, done func(*soakState) bool) error {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		now, err := s.readState("look")
		if err != nil {
			return err
		}
		if done(&now) {
			return nil
		}
	}
	return errNotYet
}

// waitForEnd waits until all agents are active, and no message is missing between those
// that were read. Some always are on their way, so that is true from time to time only.
func (s *soak) waitForEnd() error {
	fmt.Fprintln(s.Progress, "all recover, and what waits is forwarded")
	err := s.waitUntil(s.pace.settle, func(now *soakState) bool { return now.Active == s.Agents && len(s.reader.guard.Gaps()) == 0 })
	if err != nil && !errors.Is(err, errNotYet) {
		return err
	}
	now, err := s.readState("look")
	if err != nil {
		return err
	}
	s.report.Absent = s.Agents - now.Active
	return nil
}

// close ends everything, and removes the directory.
func (s *soak) close() (err error) {
	if s.node != nil {
		err = s.node.child.endAndWait()
	}
	if s.nc != nil {
		s.nc.Close()
	}
	if s.server != nil {
		err = errors.Join(err, s.server.endAndWait())
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}
