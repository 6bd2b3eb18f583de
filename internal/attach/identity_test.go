package attach

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/managersim"
	"github.com/wazuh-pulse/pulse/internal/remoted"
	"github.com/wazuh-pulse/pulse/internal/wazuhsock"
)

// An id that is removed and given to another name at once, in the same second even, is
// another agent from the next reading on: the old one is removed under its name, and what
// comes then is the new one's.
func TestAnIDThatIsGivenToAnotherNameIsAnotherAgent(t *testing.T) {
	for _, name := range []string{"db-01", "web-902", "bew-002", "web-0021", "w"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			second := time.Now().Unix()
			s := startManager(t, 3, func(c *managersim.Config) { c.Now = func() int64 { return second } })
			s.updateRows("connection_status = 'active', node_name = 'node01', last_keepalive = ? WHERE id > 0", second)
			s.startLink(stillSettings)
			s.waitForCount(detector.Active, 3)
			s.dropDecisions()
			read := time.Now()
			if err := s.manager.Remove("002"); err != nil {
				t.Fatal(err)
			}
			key := keysFor(2)[1]
			key.Name = name
			if err := s.manager.Enrol(key); err != nil {
				t.Fatal(err)
			}
			s.updateRows("connection_status = 'active', node_name = 'node01', last_keepalive = ? WHERE id = 2", second+1)
			if got := s.waitForChange(2, detector.Disconnected); got.Reason != detector.AgentRemoved || got.Name != "web-002" {
				t.Errorf("%+v", got)
			}
			if got := s.waitForChange(2, detector.Active); got.Name != name {
				t.Errorf("%+v", got)
			}
			if took := time.Since(read); took > inventoryPeriod/2 {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// The same holds for agents that were enrolled long ago, and where the times of enrolment are
// unknown, as they are on a worker.
func TestANameIsAnotherOneWhateverIsKnownOfItsEnrolment(t *testing.T) {
	second := time.Now().Unix()
	for name, added := range map[string]struct{ before, after int64 }{"long ago": {second - 86400, second}, "unknown": {0, 0}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startManager(t, 3, func(c *managersim.Config) { c.Now = func() int64 { return second } })
			s.updateRows("connection_status = 'active', node_name = 'node01', last_keepalive = ?, date_add = ? WHERE id > 0", second, added.before)
			s.startLink(stillSettings)
			s.waitForCount(detector.Active, 3)
			s.dropDecisions()
			s.updateRows("name = 'web-902', date_add = ?, last_keepalive = ? WHERE id = 2", added.after, second+1)
			if got := s.waitForChange(2, detector.Disconnected); got.Reason != detector.AgentRemoved || got.Name != "web-002" {
				t.Errorf("%+v", got)
			}
			if got := s.waitForChange(2, detector.Active); got.Name != "web-902" {
				t.Errorf("%+v", got)
			}
		})
	}
}

// A round trip begins when the request is sent, and not when it was decided: before, it may
// have waited behind an older one that its agent had not answered.
func TestARoundTripBeginsWhenTheRequestIsSent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "queue/sockets"), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, wazuhsock.RequestSocket))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	fleet, clock := &waitingFleet{all: make(chan detector.Sighting, 16)}, detector.NewClock()
	a := newTestProber(8)
	a.client, a.fleet, a.clock = remoted.NewClient(wazuhsock.Home(dir)), fleet, clock
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { a.runProber(ctx) })
	running.Go(func() { newTestTracker(a).runTracker(ctx) })
	defer running.Wait()
	defer cancel()
	a.recordSignOfLife(1, time.Now())
	a.queueKeepAlive(1, 1)
	older := acceptRequest(t, l)
	fleet.expectSighting(t, detector.Unsent, 1)
	a.queueKeepAlive(1, 2) // it waits
	decided := clock.Now()
	writeAnswer(t, older)
	first := fleet.expectSighting(t, detector.SawAnswer, 1)
	newer := acceptRequest(t, l)
	if sent := fleet.expectSighting(t, detector.Unsent, 2); sent.At < first.At || sent.At < decided {
		t.Errorf("sent at %d, decided at %d, and the older one answered at %d", sent.At, decided, first.At)
	}
	writeAnswer(t, newer)
	fleet.expectSighting(t, detector.SawAnswer, 2)
}

// waitingFleet is a fleet that sends what is reported to a channel.
type waitingFleet struct {
	fakeFleet
	all chan detector.Sighting
}

func (r *waitingFleet) Report(s detector.Sighting) { r.all <- s }

// expectSighting waits for the next sighting.
func (r *waitingFleet) expectSighting(t *testing.T, kind detector.Kind, token uint32) detector.Sighting {
	t.Helper()
	for deadline := time.After(patience); ; {
		select {
		case s := <-r.all:
			if s.Kind == detector.Unsent && kind == detector.SawAnswer && s.Token == token {
				continue // that it waits is reported every second
			}
			if s.Kind != kind || s.Token != token {
				t.Fatalf("%+v, want kind %d of token %d", s, kind, token)
			}
			return s
		case <-deadline:
			t.Fatalf("no sighting of kind %d of token %d", kind, token)
		}
	}
}

// acceptRequest waits for the next request.
func acceptRequest(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	conn, err := l.Accept()
	if err == nil {
		_, err = wazuhsock.ReadFrame(conn)
	}
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func writeAnswer(t *testing.T, conn net.Conn) {
	t.Helper()
	if _, err := conn.Write(wazuhsock.AppendFrame(nil, `{"error":0,"data":{"status":"connected"}}`)); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}
