package lastwill

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/testport"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
	"go.uber.org/goleak"
)

// patience is how long a test waits for what has to come.
const patience = time.Minute

// The server that a test has ended waits some seconds more for the answer of a stream's source.
func TestMain(m *testing.M) {
	testsupport.RunInParallel(8) // they mostly wait
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*stream).trySetupSourceConsumer.func3"))
}

func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// quick has the waits of tests. The server counts in whole seconds.
var quick = timing{delay: 2 * time.Second, answer: 3 * time.Second, retry: 50 * time.Millisecond, check: 50 * time.Millisecond, withdraw: 3 * time.Second}

// quickMaxAge is that of the streams of tests.
const quickMaxAge = 3 * time.Second

const lostAlerts = "wazuh.xdr.alerts.node_lost"

// servers are NATS servers, and a connection to them with all rights.
type servers struct {
	testing.TB
	all  []*server.Server
	opts []*server.Options
	nc   *nats.Conn
	js   jetstream.JetStream
	live chan *nats.Msg // losses as they are announced to receivers of live messages
}

// startServers starts one server, or several that are a cluster, and makes the streams of
// nodes and the one of alerts.
func startServers(t testing.TB, n int, nodes ...string) *servers {
	t.Helper()
	s := &servers{TB: t, live: make(chan *nats.Msg, 16)}
	var routes []*url.URL
	for range n {
		o := &server.Options{ServerName: fmt.Sprint("s", len(s.opts)+1), Host: "127.0.0.1", Port: testport.Free(t), NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir()}
		if n > 1 {
			o.Cluster = server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: testport.Free(t)}
			routes = append(routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", o.Cluster.Port)})
		}
		s.opts = append(s.opts, o)
	}
	s.all = make([]*server.Server, n)
	for i, o := range s.opts {
		o.Routes = routes
		s.start(i)
	}
	t.Cleanup(func() {
		for _, srv := range s.all {
			srv.Shutdown()
			srv.WaitForShutdown()
		}
	})
	s.nc, s.js = testsupport.ConnectNATS(t, s.all[0].ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	status := jetstream.StreamConfig{Name: "STATUS", Subjects: []string{"wazuh.xdr.alerts.*"}, Replicas: n}
	for _, node := range nodes {
		cfg := StreamConfig(node)
		cfg.Replicas, cfg.MaxAge, cfg.Duplicates = n, quickMaxAge, time.Second
		s.makeStream(cfg)
		status.Sources = append(status.Sources, SourceConfig(node, lostAlerts))
	}
	s.makeStream(status)
	if _, err := s.nc.ChanSubscribe(LiveSubject, s.live); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *servers) start(i int) {
	s.Helper()
	o := *s.opts[i]
	srv, err := server.NewServer(&o)
	if err != nil {
		s.Fatal(err)
	}
	srv.Start()
	if s.all[i] = srv; !srv.ReadyForConnections(patience) {
		s.Fatal("the server is not ready")
	}
}

// makeStream makes a stream; the servers of a cluster elect a leader first.
func (s *servers) makeStream(cfg jetstream.StreamConfig) {
	s.Helper()
	s.try(func(ctx context.Context) error {
		_, err := s.js.CreateOrUpdateStream(ctx, cfg)
		return err
	})
}

// try does something until it succeeds. It fails while the servers of a cluster elect a
// leader.
func (s *servers) try(do func(ctx context.Context) error) {
	s.Helper()
	for ctx := patient(s); ; {
		once, cancel := context.WithTimeout(ctx, 3*time.Second)
		err := do(once)
		cancel()
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			s.Fatal(err)
		}
	}
}

// served is a keeper at work on a connection of its own.
type served struct {
	*Keeper
	returned chan uint64 // the numbers that Return was called with
	log      *testsupport.Log
	stop     func(withdraw bool)
}

// serve starts a keeper. The test ends it as if the node were killed.
func (s *servers) serve(node string, answered uint64, change ...func(*timing)) *served {
	s.Helper()
	nc, _ := testsupport.ConnectNATS(s, s.all[0].ClientURL(), nats.NoReconnect())
	timing := quick
	for _, f := range change {
		f(&timing)
	}
	v := &served{returned: make(chan uint64, 16), log: new(testsupport.Log)}
	v.Keeper = newKeeper(Config{Node: node, Answered: answered, Return: func(n uint64, _ time.Time) { v.returned <- n }, Log: slog.New(slog.NewTextHandler(v.log, nil))}, timing)
	ctx, cancel := context.WithCancel(s.Context())
	ended := make(chan struct{})
	clean := false
	go func() {
		defer close(ended)
		v.Serve(ctx, nc, nil, func(string) error { return nil }, func() bool { return clean })
	}()
	v.stop = func(withdraw bool) {
		if ctx.Err() != nil {
			return
		}
		clean = withdraw
		cancel()
		<-ended
		nc.Close()
	}
	s.Cleanup(func() { v.stop(false) })
	return v
}

// renewAndWait renews a will, and waits until the server has it.
func (s *servers) renewAndWait(v *served, text string) {
	s.Helper()
	v.Renew(&Will{Data: []byte(text), Header: map[string][]string{"Pulse-Signature": {"of " + text}}})
	s.waitForWill(v.cfg.Node, text)
}

// waitForWill waits until the last will that the server has of a node is this text.
func (s *servers) waitForWill(node, text string) {
	s.Helper()
	s.try(func(ctx context.Context) error {
		stream, err := s.js.Stream(ctx, StreamName(node))
		if err != nil {
			return err
		}
		m, err := stream.GetLastMsgForSubject(ctx, Subject(node))
		if err == nil && string(m.Data) != text {
			err = fmt.Errorf("the will of %s is %q, want %q", node, m.Data, text)
		}
		return err
	})
}

// waitForAnnouncement waits for the next loss that is announced live.
func (s *servers) waitForAnnouncement() *nats.Msg {
	s.Helper()
	select {
	case m := <-s.live:
		return m
	case <-patient(s).Done():
		s.Fatal("no loss is announced")
		return nil
	}
}
