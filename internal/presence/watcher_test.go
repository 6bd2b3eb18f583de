package presence

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/internal/remote"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
)

// patience is how long a test waits for what has to come.
const patience = time.Minute

const testNode = "node01"

// startServer starts a NATS server on a port of its own, or on that of the options.
func startServer(t testing.TB, change ...func(*server.Options)) *server.Server {
	t.Helper()
	opts := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true}
	for _, f := range change {
		f(opts)
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(patience) {
		t.Fatal("the server is not ready")
	}
	return srv
}

// joinedNode is one node of the name at a server.
type joinedNode struct {
	t       testing.TB
	watcher *Watcher
	remote  *remote.Remote
	log     *testsupport.Log
}

func joinNode(t testing.TB, srv *server.Server, epoch uint64, change ...func(*timing)) *joinedNode {
	t.Helper()
	return joinNodeAt(t, srv.ClientURL(), epoch, change...)
}

// joinNodeAt is join with the URL of a server.
func joinNodeAt(t testing.TB, url string, epoch uint64, change ...func(*timing)) *joinedNode {
	t.Helper()
	timing := defaultTiming
	timing.period = 50 * time.Millisecond
	for _, f := range change {
		f(&timing)
	}
	n := &joinedNode{t: t, log: new(testsupport.Log)}
	log := slog.New(slog.NewTextHandler(n.log, nil))
	n.watcher = newWatcher(Config{Node: testNode, Epoch: epoch, StartedAt: time.Unix(int64(epoch), 0), Host: fmt.Sprint("host-", epoch), Log: log}, timing)
	var err error
	n.remote, err = remote.Open(remote.Config{URL: url, ReconnectDelay: 20 * time.Millisecond, Admit: n.watcher.Admit, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.stopNode() })
	return n
}

// stopNode ends a node in order.
func (n *joinedNode) stopNode() {
	n.watcher.Close()
	n.remote.Close()
}

// waitForAdmission waits until the node may publish.
func (n *joinedNode) waitForAdmission() *remote.Session {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), patience)
	defer cancel()
	s, err := n.remote.Session(ctx)
	if err != nil {
		n.t.Fatalf("not admitted: %v\n%s", err, n.log)
	}
	return s
}

// waitForState waits until what is known of others is as it should be.
func (n *joinedNode) waitForState(what string, is func(State) bool) State {
	n.t.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for deadline := time.After(patience); ; {
		s := n.watcher.State()
		if is(s) {
			return s
		}
		select {
		case <-look.C:
		case <-deadline:
			n.t.Fatalf("not %s: %+v\n%s", what, s, n.log)
		}
	}
}

func held(s State) bool  { return s.Held }
func alone(s State) bool { return s.Others == 0 }
func first(s State) bool { return s.Others > 0 && !s.Held }

func (n *joinedNode) isPublishing() bool {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := n.remote.Session(ctx)
	return err == nil
}

func TestTheYoungerOfTwoNodesWaitsUntilTheOlderHasGone(t *testing.T) {
	t.Parallel()
	srv := startServer(t)
	older := joinNode(t, srv, 100)
	session := older.waitForAdmission()
	younger := joinNode(t, srv, 101)
	state := younger.waitForState("held", held)
	if state.First.Host != "host-100" || state.First.Epoch != 100 || state.Since.IsZero() || younger.isPublishing() {
		t.Errorf("%+v", state)
	}
	if state := older.waitForState("aware of the other", first); state.First.Epoch != 101 {
		t.Errorf("%+v", state)
	}
	if session.Reason() != nil {
		t.Errorf("the older one's session ended: %v", session.Reason())
	}
	older.stopNode()
	younger.waitForAdmission()
	younger.waitForState("alone", alone)
}

func TestOfTwoNodesThatStartTogetherOneAloneIsAdmitted(t *testing.T) {
	t.Parallel()
	for range 4 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			srv := startServer(t)
			var both [2]*joinedNode
			var starting sync.WaitGroup
			for i := range both {
				starting.Go(func() { both[i] = joinNode(t, srv, 100) })
			}
			starting.Wait()
			a, b := both[0], both[1]
			if a.watcher.instance > b.watcher.instance {
				a, b = b, a
			}
			a.waitForState("aware of the other", func(s State) bool { return s.Others > 0 })
			b.waitForState("aware of the other", func(s State) bool { return s.Others > 0 })
			// Who publishes already goes on; else the lower instance goes first.
			waits, goes := b, a
			if b.waitForState("decided", func(s State) bool { return s.Held || b.isPublishing() }); !b.watcher.State().Held {
				waits, goes = a, b
			}
			goes.waitForAdmission()
			waits.waitForState("held", held)
			if waits.isPublishing() {
				t.Error("both publish")
			}
			goes.stopNode()
			waits.waitForAdmission()
		})
	}
}

func TestANodeIsNotHeldByOneThatDied(t *testing.T) {
	t.Parallel()
	srv := startServer(t)
	quick := func(t *timing) { t.gone = 500 * time.Millisecond }
	died := joinNode(t, srv, 100, quick)
	died.waitForAdmission()
	waits := joinNode(t, srv, 101, quick)
	waits.waitForState("held", held)
	died.remote.Close() // without a goodbye
	waits.waitForAdmission()
	waits.waitForState("alone", alone)
}

// A second node that starts while the first is connecting anew does not take its place.
func TestTheOlderGoesFirstAgainAfterTheServerWasAway(t *testing.T) {
	t.Parallel()
	srv := startServer(t)
	quick := func(t *timing) { t.alone, t.settle = 100*time.Millisecond, 300*time.Millisecond }
	older := joinNode(t, srv, 100, quick)
	older.waitForAdmission()
	younger := joinNode(t, srv, 101, quick)
	younger.waitForState("held", held)
	port := srv.Addr().(*net.TCPAddr).Port
	for range 3 {
		srv.Shutdown()
		srv.WaitForShutdown()
		srv = startServer(t, func(o *server.Options) { o.Port = port })
		older.waitForAdmission()
		younger.waitForState("held", held)
		if younger.isPublishing() {
			t.Fatal("the younger one publishes")
		}
	}
}

// As after a time in which the two could not see each other, or one was suspended: consumers
// accept the higher epoch only.
func TestOfTwoThatPublishTheOneWithTheLowerEpochStops(t *testing.T) {
	t.Parallel()
	srv := startServer(t)
	n := joinNode(t, srv, 101)
	session := n.waitForAdmission()
	other, err := nats.Connect(srv.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	state := func(text string) {
		if err := other.Publish(Subject(testNode), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	state(`{"node":"node01","instance":"x","epoch":100,"publishing":true}`)
	n.waitForState("aware of the other", first)
	if session.Reason() != nil {
		t.Fatalf("stopped for a lower epoch: %v", session.Reason())
	}
	state(`{"node":"node01","instance":"y","epoch":102,"publishing":false}`)
	n.waitForState("aware of both", func(s State) bool { return s.Others == 2 && !s.Held })
	state(`{"node":"node01","instance":"y","epoch":102,"publishing":true}`)
	<-session.Ended()
	if !errors.Is(session.Reason(), remote.ErrWithdrawn) {
		t.Errorf("ended by %v", session.Reason())
	}
	n.waitForState("held", held)
	if s := n.remote.State(); s.Errors != 0 || s.Unavailable {
		t.Errorf("counted as a failure: %+v", s)
	}
	n.waitForState("alone", func(s State) bool { // it may be connecting: a goodbye is repeated here until it has come
		state(`{"node":"node01","instance":"x","epoch":102,"leaving":true}`)
		state(`{"node":"node01","instance":"y","epoch":100,"leaving":true}`)
		return s.Others == 0
	})
	n.waitForAdmission()
}

func TestWithoutTheRightANodePublishesAndSaysThatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	for name, rights := range map[string]*server.Permissions{
		"publish":   {Publish: &server.SubjectPermission{Deny: []string{"pulse.>"}}},
		"subscribe": {Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := startServer(t, func(o *server.Options) {
				o.Users, o.NoAuthUser = []*server.User{{Username: "u", Password: "p", Permissions: rights}}, "u"
			})
			n := joinNode(t, srv, 100)
			n.waitForAdmission()
			s := n.waitForState("unknown", func(s State) bool { return s.Unknown != nil })
			if !strings.Contains(s.Unknown.Error(), `may not `+name) || s.Held {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestStrangeStatementsCostNothing(t *testing.T) {
	t.Parallel()
	srv := startServer(t)
	n := joinNode(t, srv, 100)
	session := n.waitForAdmission()
	other, err := nats.Connect(srv.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for i := range 20_000 {
		text := fmt.Sprintf(`{"node":"node01","instance":"%d","epoch":999,"host":"a\nb\u001b[31m","question":true}`, i)
		if i%3 == 0 {
			text = strings.Repeat("{", i%5000)
		}
		if err := other.Publish(Subject(testNode), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := other.FlushTimeout(patience); err != nil {
		t.Fatal(err)
	}
	s := n.waitForState("aware of others", first)
	if s.Others > othersMax || strings.ContainsAny(s.First.Host, "\n\x1b") {
		t.Errorf("%+v", s)
	}
	if session.Reason() != nil {
		t.Errorf("the session ended: %v", session.Reason())
	}
	if lines := strings.Count(n.log.String(), "\n"); lines > 20 {
		t.Errorf("%d lines", lines)
	}
}

func TestANodeIsFoundByOneThatIsNone(t *testing.T) {
	t.Parallel()
	srv := startServer(t)
	n := joinNode(t, srv, 100)
	n.waitForAdmission()
	asks, err := remote.Dial(t.Context(), remote.Config{URL: srv.ClientURL()})
	if err != nil {
		t.Fatal(err)
	}
	defer asks.Conn.Close()
	found, err := FindNodes(t.Context(), asks, testNode)
	if err != nil || len(found) != 1 || found[0].Epoch != 100 || found[0].Host != "host-100" || !found[0].Publishing {
		t.Errorf("found %+v, %v", found, err)
	}
	if found, err := FindNodes(t.Context(), asks, "node02"); err != nil || len(found) != 0 {
		t.Errorf("found %+v, %v", found, err)
	}
	if s := n.watcher.State(); s.Others != 0 {
		t.Errorf("who asks counts as a node: %+v", s)
	}
}

func FuzzStatement(f *testing.F) {
	f.Add([]byte(`{"node":"node01","instance":"x","epoch":1,"host":"h","publishing":true}`))
	f.Add([]byte(requestText))
	f.Fuzz(func(t *testing.T, data []byte) {
		w := newWatcher(Config{Node: testNode, Epoch: 5, Log: slog.New(slog.DiscardHandler)}, defaultTiming)
		now := time.Unix(1716897300, 0)
		for range 20 {
			w.recordStatement(data, now)
			w.decideHeld(now)
		}
		if s := w.State(); s.Others > 1 || s.Held && s.First.Epoch > 5 && !s.First.Publishing {
			t.Errorf("%+v", s)
		}
		w.decideHeld(now.Add(time.Hour))
		if s := w.State(); s.Others != 0 || s.Held {
			t.Errorf("%+v", s)
		}
	})
}
