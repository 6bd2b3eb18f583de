package agentsim

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

func TestAWholeFleetLivesAndDies(t *testing.T) {
	for _, network := range []string{"tcp", "udp"} {
		t.Run(network, func(t *testing.T) {
			n := 500
			if network == "udp" {
				n = 50 // as many startups as a socket's buffer holds
			}
			m := newManager(t, n)
			listen := m.listen
			if network == "udp" {
				listen = m.listenUDP
			}
			addr := listen()
			cfg := m.config()
			cfg.Manager, cfg.Notify = addr, 400*time.Millisecond
			f := newFleet(t, cfg)
			done := make(chan error, 1)
			go func() { done <- f.Run(context.Background()) }()
			settle(t, f)
			for i := range n {
				m.await(agentID(i), saysKeepAlive)
				m.await(agentID(i), saysKeepAlive)
			}
			s := f.Stats()
			if s.Agents != n || s.Connected != n || s.Startups != uint64(n) || s.Settled <= 0 {
				t.Errorf("got %+v", s)
			}
			if s.KeepAlives < uint64(2*n) || s.Acks > s.KeepAlives || s.Acks < uint64(n) || s.Ack.Count > s.Acks {
				t.Errorf("keep-alives %d, acks %d", s.KeepAlives, s.Acks)
			}
			if s.Ack.P50 <= 0 || s.Ack.P50 > s.Ack.P99 || s.Ack.P99 > s.Ack.Max || s.Startup.Count != uint64(n) {
				t.Errorf("ack %+v, startup %+v", s.Ack, s.Startup)
			}
			f.Shutdown()
			must(t, <-done)
			for i := range n {
				m.await(agentID(i), saysShutdown)
			}
			if s := f.Stats(); s.Stopped != n || s.Refused+s.Lost+s.Silent+s.Unanswered != 0 {
				t.Errorf("after the run: %+v", s)
			}
		})
	}
}

func TestTheEndOfARunIsNoShutdown(t *testing.T) {
	m := newManager(t, 1)
	cfg := m.config()
	cfg.Manager = m.listen()
	f := newFleet(t, cfg)
	stop := start(t, f)
	m.await("001", saysStarted)
	stop()
	if got := m.next("001").text; got != closed {
		t.Errorf("agent says %q, want its connection closed", got)
	}
	if err := f.Run(t.Context()); err == nil {
		t.Error("a second run began")
	}
}

func TestAgentsDieAndReviveAtAnyTime(t *testing.T) {
	const agents, orders = 40, 2000
	m := newManager(t, agents)
	cfg := m.config()
	cfg.Manager, cfg.Retry = m.listen(), 10*time.Millisecond
	cfg.Notify, cfg.MaxDials = time.Millisecond, 4
	f := newFleet(t, cfg)
	start(t, f)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range orders {
				id := agentID(rand.N(agents))
				if death := Failure(rand.N(5)); death == 0 {
					_ = f.Revive(id)
				} else {
					_ = f.Fail(id, death)
				}
				if rand.N(200) == 0 {
					f.CutAll()
					f.Stats()
					f.HealAll()
				}
			}
		})
	}
	wg.Wait()
	for i := range agents {
		must(t, f.Revive(agentID(i)))
	}
	for i := range agents { // everyone comes back, and talks
		for len(m.mail[agentID(i)]) > 0 {
			<-m.mail[agentID(i)]
		}
		m.await(agentID(i), saysKeepAlive)
	}
	if s := f.Stats(); s.Garbled != 0 || s.Unsent != 0 || s.Hung != 0 || s.Cut != 0 {
		t.Errorf("got %+v", s)
	}
}

func TestAFleetThatIsShutDownBeforeItRunsEndsAtOnce(t *testing.T) {
	f := newFleet(t, newManager(t, 3).config())
	f.Shutdown()
	must(t, f.Run(t.Context()))
}

func TestTheNumberOfDialsInFlightIsBounded(t *testing.T) {
	m := newManager(t, 30)
	cfg := m.config()
	cfg.Manager, cfg.MaxDials = m.listen(), 3
	f := newFleet(t, cfg)
	dial := f.dial
	var mu sync.Mutex
	now, most := 0, 0
	count := func(by int) {
		mu.Lock()
		defer mu.Unlock()
		now += by
		most = max(most, now)
	}
	f.dial = func(ctx context.Context) (c net.Conn, err error) {
		count(1)
		defer count(-1)
		return dial(ctx)
	}
	start(t, f)
	settle(t, f)
	if most > 3 {
		t.Errorf("%d dials in flight, want 3 at most", most)
	}
}

func TestEachAgentMayComeFromAnAddressOfItsOwn(t *testing.T) {
	f, err := New(Config{Manager: "127.0.0.1:1514", Keys: testKeys(t, 300), Spread: true})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range map[int]string{0: "127.1.0.1:0", 254: "127.1.0.255:0", 255: "127.1.1.0:0", 299: "127.1.1.44:0"} {
		if got := f.agents[i].from.String(); got != want {
			t.Errorf("agent %d comes from %s, want %s", i, got, want)
		}
	}
}
