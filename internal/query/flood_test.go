package query

import (
	"context"
	"sync"
	"testing"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"golang.org/x/time/rate"
)

// slow is a fleet of which every answer waits until it may come.
type slow struct {
	*fleet
	may      chan struct{}
	arrived  chan struct{}
	mu       sync.Mutex
	now, top int // of those that wait
}

func (f *slow) wait() {
	f.mu.Lock()
	f.now++
	f.top = max(f.top, f.now)
	f.mu.Unlock()
	f.arrived <- struct{}{}
	<-f.may
	f.mu.Lock()
	f.now--
	f.mu.Unlock()
}

func (f *slow) Page(n int) ([]detector.Record, bool) { f.wait(); return f.fleet.Page(n) }

func (f *slow) Ping(ctx context.Context, id detector.AgentID) (detector.Answer, error) {
	f.wait()
	return f.fleet.Ping(ctx, id)
}

// A flood of one kind of question is refused beyond what is worked on, keeps
// nobody from asking another, and leaves nothing behind.
func TestAFloodIsRefusedAndHoldsUpNoOtherQuestion(t *testing.T) {
	const flood = 3000
	for name, c := range map[string]struct {
		subject, body  string
		places, atWork int
		good           string
	}{
		"lists":     {"pulse.agents.list", "", maxLists, maxScans, ""},
		"pings":     {"pulse.agents.ping", `{"id":"001"}`, maxPings, maxPings, ""},
		"strangers": {"pulse.agents.get", `{"id":"009"}`, maxDelayed, 0, "404"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &slow{fleet: newFleet(t, settings, 1), may: make(chan struct{}), arrived: make(chan struct{}, flood)}
			f.connect(false, 1)
			url, nc := embedded(t)
			s, _ := newService("node01", f, f.clock)
			s.pings = rate.NewLimiter(rate.Inf, 0)
			serve(t, s, nc)
			client := newClient(t, url, 1)
			inbox, err := client.nc.SubscribeSync("_INBOX.mine")
			if err != nil {
				t.Fatal(err)
			}
			send := func(n int) {
				for range n {
					if err := client.nc.PublishRequest(c.subject, inbox.Subject, []byte(c.body)); err != nil {
						t.Fatal(err)
					}
				}
				if err := client.nc.Flush(); err != nil {
					t.Fatal(err)
				}
			}
			var codes = make(map[string]int)
			hear := func(n int) {
				t.Helper()
				for range n {
					m, err := inbox.NextMsg(patience)
					if err != nil {
						t.Fatalf("%v; answered so far: %v", err, codes)
					}
					codes[code(m)]++
				}
			}
			asked := 0
			for asked < flood {
				n := min(500, flood-asked)
				send(n)
				asked += n
				if name != "strangers" { // whose places become free with time
					hear(min(n, asked-c.places-codes["429"]))
				} else {
					hear(n)
				}
				read[map[string]string](client, client.ask("pulse.status", ""))
				read[getAnswer](client, client.ask("pulse.agents.get", `{"id":"001"}`))
			}
			if name != "strangers" && codes["429"] != flood-c.places {
				t.Errorf("answered meanwhile: %v", codes)
			}
			for range c.atWork {
				<-f.arrived
			}
			close(f.may)
			hear(flood - codes["429"] - codes[c.good])
			if codes["429"] == 0 || codes[c.good] < c.places || codes["429"]+codes[c.good] != flood {
				t.Errorf("answered: %v", codes)
			}
			f.mu.Lock()
			if f.top != c.atWork {
				t.Errorf("%d at work at a time, want %d", f.top, c.atWork)
			}
			f.mu.Unlock()
		})
	}
}
