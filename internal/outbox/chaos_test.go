package outbox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/testsupport"
)

// A longer run: CHAOS_ROUNDS=1000 go test -run 'Chaos|AtRandom' -v -timeout 1h
const (
	roundsEnv = "CHAOS_ROUNDS"
	seedEnv   = "CHAOS_SEED"
)

// rounds is how many rounds to play: fewer with the race detector.
func rounds(t *testing.T, usually int) int {
	t.Helper()
	if underRace {
		usually /= 3
	}
	return int(testsupport.EnvNumber(t, roundsEnv, uint64(usually)))
}

// TestChaos lets a node publish to NATS servers elsewhere while processes are killed
// and the network between fails, at random moments, round after round. After
// each, the far stream has to hold every change, alert and keep-alive that Publish has
// returned for, once, and the changes in order for each agent: also what
// Publish had not returned for yet, if it went out.
func TestChaos(t *testing.T) {
	rounds, seed := rounds(t, 100), testsupport.EnvNumber(t, seedEnv, rand.Uint64())
	for i, s := range []struct {
		name    string
		servers int
		share   int // of the rounds, in percent
		twin    bool
	}{
		{"a cluster of three", 3, 12, false}, {"one server", 1, 38, false}, {"another server", 1, 38, false}, {"another node of the name", 1, 12, true},
	} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			n := max(1, rounds*s.share/100)
			c := newChaos(t, s.servers, s.twin, seed+uint64(i))
			c.publishFirst()
			for round := range n {
				if !c.round(round) {
					t.Fatalf("round %d of %s=%d failed", round, seedEnv, seed)
				}
			}
			c.checkAll()
			all, _ := c.seen.messages()
			t.Logf("%d rounds, %d messages checked, %d of them status changes; %s", n, all, len(c.seen.changes), c.countFaults())
		})
	}
}

// chaos is a node and a far side, and what happens to both.
type chaos struct {
	t      *testing.T
	far    *far
	pulse  *process
	twin   *process // another node that uses the same IDs; nil for none
	random *rand.Rand
	target int

	mu        sync.Mutex
	published [][2]int // what Publish has returned for, from and to

	reached  chan int // targets, also of earlier rounds
	seen     *ledger
	twinSeen *ledger
	last     uint64 // of the far stream, in seen
	faults   map[string]int
	happened []string // in this round
}

func newChaos(t *testing.T, servers int, twin bool, seed uint64) *chaos {
	c := &chaos{t: t, far: newFar(t, servers), random: rand.New(rand.NewPCG(seed, 0)), reached: make(chan int, 100), seen: newLedger(), faults: map[string]int{}}
	life := int64(0)
	if twin {
		life = 7
		c.twinSeen = newLedger()
		c.twin = newProcess(t, "twin", childConfig{Pulse: &nodeConfig{Dir: t.TempDir(), URL: c.far.url(), Life: life, Twin: true}}, func(string) {})
		c.twin.start()
	}
	c.pulse = newProcess(t, "pulse", childConfig{Pulse: &nodeConfig{Dir: t.TempDir(), URL: c.far.url(), Life: life}}, c.handleLine)
	c.pulse.start()
	return c
}

// publishFirst lets the node see once that there is a stream: where none was ever seen, that
// it is away is no fault.
func (c *chaos) publishFirst() {
	c.t.Helper()
	c.target = 50
	for _, p := range []*process{c.pulse, c.twin} {
		if p != nil {
			p.sendLine(strconv.Itoa(c.target))
		}
	}
	if err := c.waitUntilStored(); err != nil {
		c.t.Fatal(err)
	}
}

// handleLine takes what the node tells.
func (c *chaos) handleLine(line string) {
	var from, to int
	if n, _ := fmt.Sscanf(line, "reached %d", &to); n == 1 {
		c.reached <- to
		return
	}
	if _, err := fmt.Sscanf(line, "published %d %d", &from, &to); err != nil {
		c.t.Errorf("the node says %q", line)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.published = append(c.published, [2]int{from, to})
}

// round lets a few hundred changes happen, and one to three faults meanwhile.
func (c *chaos) round(n int) bool {
	c.target += 200 + c.random.IntN(200)
	c.happened = nil
	c.pulse.sendLine(strconv.Itoa(c.target))
	if c.twin != nil {
		c.twin.sendLine(strconv.Itoa(c.target))
	}
	for range 1 + c.random.IntN(3) {
		<-time.After(time.Duration(c.random.IntN(100)) * time.Millisecond)
		if err := c.injectFault(); err != nil {
			c.t.Errorf("round %d, %s: %v", n, strings.Join(c.happened, ", "), err)
			return false
		}
	}
	c.far.heal()
	err := c.waitUntilStored()
	if err != nil {
		c.t.Errorf("round %d, %s: %v", n, strings.Join(c.happened, ", "), err)
		c.t.Logf("the node's last words:\n%s", c.pulse.stderrTail())
	}
	return err == nil
}

// waitUntilStored waits until everything that was published is there.
func (c *chaos) waitUntilStored() error {
	ctx, cancel := context.WithTimeout(c.t.Context(), waitMax)
	defer cancel()
	for reached := 0; reached < c.target; {
		select {
		case reached = <-c.reached:
		case <-ctx.Done():
			return fmt.Errorf("the node never published up to %d", c.target)
		}
	}
	for {
		var err error
		c.last, err = c.far.read(ctx, c.last, c.take)
		if errors.Is(err, errHistory) {
			return err
		}
		missing := c.seen.missing(c.target, c.publishedSoFar())
		if missing == nil && c.twin != nil {
			missing = c.twinSeen.missing(c.target, nil)
		}
		if missing == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%w (%v)", missing, err)
		}
		pause(ctx, 20*time.Millisecond)
	}
}

// take takes the far stream's next message, of whichever node.
func (c *chaos) take(subject string, data []byte) error {
	if c.twin != nil && (strings.HasSuffix(subject, ".twin") || ofTwin(subject)) {
		return c.twinSeen.take(subject, data)
	}
	return c.seen.take(subject, data)
}

// ofTwin reports whether a subject is of an agent of the other node.
func ofTwin(subject string) bool {
	for _, token := range strings.Split(subject, ".") {
		if n, err := strconv.Atoi(token); err == nil && n >= cast {
			return true
		}
	}
	return false
}

func (c *chaos) publishedSoFar() [][2]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.published
}

// checkAll reads the far stream once more, from its beginning, behind a last
// restart of all servers: what was there has to be there still.
func (c *chaos) checkAll() {
	c.t.Helper()
	c.pulse.end(0)
	if c.twin != nil {
		c.twin.end(0)
	}
	for i := range c.far.servers {
		c.far.restart(i, 0)
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), waitMax)
	defer cancel()
	for {
		seen := c.seen
		c.seen, c.twinSeen = newLedger(), newLedger()
		c.seen.again, c.twinSeen.again = true, true
		last, err := c.far.read(ctx, 0, c.take)
		again, _ := c.seen.messages()
		c.seen = seen
		if _, before := seen.messages(); err == nil && (last > 0 || before == 0) { // 0: it was made again after the last message
			if again != before {
				c.t.Errorf("at the end: %d messages, and %d before", again, before)
			}
			return
		}
		if ctx.Err() != nil || errors.Is(err, errHistory) {
			c.t.Errorf("at the end: %v", err)
			return
		}
		pause(ctx, 20*time.Millisecond)
	}
}

// remake deletes the far stream and makes it again.
func (c *chaos) remake(away time.Duration) error {
	ctx, cancel := context.WithTimeout(c.t.Context(), waitMax)
	defer cancel()
	err := c.far.remakeStream(ctx, c.last, func(subject string, data []byte) error {
		c.last++
		return c.take(subject, data)
	}, away)
	c.last = 0
	c.seen.stream++
	return err
}

// change has a server run in another way for a while.
func (c *chaos) change(server int, how, back func(*serverConfig), after time.Duration) {
	part := c.far.servers[server].part.Server
	how(part)
	c.far.restart(server, 0)
	<-time.After(after)
	back(part)
	c.far.restart(server, 0)
}

// fault is something that happens to one of the parts.
type fault struct {
	name string
	do   func()
}

// injectFault does one thing.
func (c *chaos) injectFault() error {
	proxies := c.far.proxies
	if one := c.random.IntN(len(proxies)); c.random.IntN(2) == 0 {
		proxies = proxies[one : one+1]
	}
	server := c.random.IntN(len(c.far.servers))
	some := func(most int) time.Duration { return time.Duration(c.random.IntN(most)) * time.Millisecond }
	turn := func(w networkFault) {
		for _, p := range proxies {
			p.setFault(w)
		}
	}
	var err error
	faults := []fault{
		{"one subject refused", func() {
			subject := fmt.Sprintf("%s.agent.%03d.status_change", prefix, c.random.IntN(cast))
			c.change(server, func(p *serverConfig) { p.Deny = subject }, func(p *serverConfig) { p.Deny = "" }, some(200))
		}},
		{"server killed", func() { c.far.restart(server, some(100)) }},
		{"leader killed", func() { c.far.restart(c.far.leader(server), some(100)) }},
		{"server frozen", func() { c.far.servers[server].freeze(some(400)) }},
		{"node killed", func() { c.restartNode(syscall.SIGKILL, some(50)) }},
		{"node killed", func() { c.restartNode(syscall.SIGKILL, some(50)) }},
		{"node stopped", func() { c.restartNode(0, some(50)) }},
		{"connections dropped", func() {
			for _, p := range proxies {
				p.dropConns()
			}
		}},
		{"connection cut within a message", func() { turn(networkFault{cutting: true, cutIn: c.random.IntN(40_000)}) }},
		{"network swallows all", func() { turn(networkFault{silent: true}); <-time.After(some(300)) }},
		{"network slow", func() { turn(networkFault{delay: some(40)}); <-time.After(some(200)) }},
		{"network narrow", func() { turn(networkFault{pace: 50_000 + c.random.IntN(500_000)}); <-time.After(some(200)) }},
	}
	if len(c.far.servers) == 1 { // a cluster that is killed in the middle of these does not always find together again
		faults = append(faults, fault{"stream deleted and made again", func() { err = c.remake(some(200)) }}, fault{"JetStream away", func() {
			c.change(server, func(p *serverConfig) { p.NoJetStream = true }, func(p *serverConfig) { p.NoJetStream = false }, some(200))
		}})
	}
	f := faults[c.random.IntN(len(faults))]
	if c.twin != nil { // see be
		f.name, f.do = "the same IDs", func() { <-time.After(some(200)) }
	}
	c.happened = append(c.happened, f.name)
	c.faults[f.name]++
	f.do()
	return err
}

// restartNode ends the node and starts it again, with the same target.
func (c *chaos) restartNode(sig syscall.Signal, after time.Duration) {
	c.pulse.end(sig)
	<-time.After(after)
	c.pulse.start()
	c.pulse.sendLine(strconv.Itoa(c.target))
}

// countFaults tells how often each fault was.
func (c *chaos) countFaults() string {
	var all []string
	for name, n := range c.faults {
		all = append(all, fmt.Sprintf("%s %d", name, n))
	}
	return strings.Join(all, ", ")
}
