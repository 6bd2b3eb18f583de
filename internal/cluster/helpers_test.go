package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/keys"
	"github.com/wazuh-pulse/pulse/internal/kv"
	"github.com/wazuh-pulse/pulse/internal/ownership"
	"github.com/wazuh-pulse/pulse/internal/remote"
	"github.com/wazuh-pulse/pulse/internal/testport"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
	"github.com/wazuh-pulse/pulse/seal"
	"go.uber.org/goleak"
)

// patience is how long a test waits for what has to come.
const patience = time.Minute

func TestMain(m *testing.M) {
	testsupport.RunInParallel(8) // they mostly wait
	goleak.VerifyTestMain(m)
}

func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// quick has the waits of tests: a node is lost after some 1.4 s.
var quick = timing{beat: 200 * time.Millisecond, cutOff: time.Second, answer: 3 * time.Second, retry: 20 * time.Millisecond,
	check: 200 * time.Millisecond, keyWait: 50 * time.Millisecond, away: time.Hour}

// patientBeats is for tests that want no node lost, on a busy machine: it takes 5 s.
func patientBeats(_ *Config, t *timing) { t.beat, t.cutOff = 700*time.Millisecond, 2*time.Second }

// servers are NATS servers, and a connection to them with all rights.
type servers struct {
	t    testing.TB
	all  []*server.Server
	opts []*server.Options
	js   jetstream.JetStream
}

// startServers starts one server, or several that are a cluster, and makes the buckets.
func startServers(t testing.TB, n int) *servers {
	t.Helper()
	s := &servers{t: t}
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
		s.startServer(i)
	}
	nc, err := nats.Connect(s.url(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if s.js, err = jetstream.New(nc, jetstream.WithDefaultTimeout(3*time.Second)); err != nil {
		t.Fatal(err)
	}
	s.makeStream(kv.StreamConfig(keys.Bucket, "", 1))
	s.makeStream(kv.ClusterStreamConfig())
	return s
}

func (s *servers) startServer(i int) {
	s.t.Helper()
	o := *s.opts[i]
	srv, err := server.NewServer(&o)
	if err != nil {
		s.t.Fatal(err)
	}
	srv.Start()
	s.all[i] = srv
	s.t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(patience) {
		s.t.Fatal("the server is not ready")
	}
}

func (s *servers) stopServer(i int) {
	s.all[i].Shutdown()
	s.all[i].WaitForShutdown()
}

func (s *servers) url() string {
	var list []string
	for _, o := range s.opts {
		list = append(list, fmt.Sprintf("nats://127.0.0.1:%d", o.Port))
	}
	return strings.Join(list, ",")
}

// makeStream tries until the servers have found each other.
func (s *servers) makeStream(cfg jetstream.StreamConfig) {
	s.t.Helper()
	cfg.Replicas = len(s.opts)
	var err error
	s.await(cfg.Name+" is made", func() bool {
		ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
		defer cancel()
		_, err = s.js.CreateStream(ctx, cfg)
		return err == nil
	})
}

func (s *servers) stream() jetstream.Stream {
	s.t.Helper()
	st, err := s.js.Stream(patient(s.t), stream)
	if err != nil {
		s.t.Fatal(err)
	}
	return st
}

// await waits until something holds.
func (s *servers) await(what string, holds func() bool) { awaitCondition(s.t, what, holds) }

func awaitCondition(t testing.TB, what string, holds func() bool) {
	t.Helper()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for deadline := time.After(patience); !holds(); {
		select {
		case <-look.C:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}

// testNode is a node with its view.
type testNode struct {
	*View
	s      *servers
	name   string
	key    *seal.Key
	log    *testsupport.Log
	remote *remote.Remote
	close  func()

	mu     sync.Mutex
	events []ownership.Event
	cut    []bool
}

func newKey(t testing.TB, node string) *seal.Key {
	t.Helper()
	k, err := seal.GenerateKey(seal.Signing)
	if err != nil {
		t.Fatal(err)
	}
	k.Node = node
	return k
}

// publishKeys puts public keys of a node where the others look for them.
func (s *servers) publishKeys(node string, list ...*seal.Key) {
	s.t.Helper()
	text, err := seal.MarshalKeys(list...)
	if err == nil {
		_, err = s.js.Publish(patient(s.t), keysPrefix+node, text)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *servers) join(name string, change ...func(*Config, *timing)) *testNode {
	s.t.Helper()
	key := newKey(s.t, name)
	s.publishKeys(name, key.Public())
	return s.joinWith(name, key, change...)
}

func (s *servers) joinWith(name string, key *seal.Key, change ...func(*Config, *timing)) *testNode {
	return s.joinAt(s.url(), name, key, change...)
}

func (s *servers) joinAt(url, name string, key *seal.Key, change ...func(*Config, *timing)) *testNode {
	s.t.Helper()
	sign, err := seal.NewSigner(key)
	if err != nil {
		s.t.Fatal(err)
	}
	n := &testNode{s: s, name: name, key: key, log: new(testsupport.Log)}
	log := slog.New(slog.NewTextHandler(n.log, nil))
	n.remote, err = remote.Open(remote.Config{URL: url, Node: name, ReconnectDelay: 20 * time.Millisecond, PingInterval: time.Second, Log: log})
	if err != nil {
		s.t.Fatal(err)
	}
	cfg := Config{Node: name, Epoch: 1, Started: time.Now(), Version: "1.2.3", Remote: n.remote, Signer: sign, Log: log,
		OnEvent:      func(e ownership.Event) { n.mu.Lock(); defer n.mu.Unlock(); n.events = append(n.events, e) },
		OnConnection: func(cutOff bool) { n.mu.Lock(); defer n.mu.Unlock(); n.cut = append(n.cut, cutOff) }}
	t := quick
	for _, f := range change {
		f(&cfg, &t)
	}
	if n.View, err = open(cfg, t); err != nil {
		s.t.Fatal(err)
	}
	n.close = sync.OnceFunc(func() { n.View.Close(); n.remote.Close() })
	s.t.Cleanup(n.close)
	return n
}

func (n *testNode) claim(id ownership.AgentID) {
	n.Claim(ownership.Sighting{Agent: id, Since: 1, Sign: 2, Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(id)})})
}

// awaitOwner waits until the node knows that a node has an agent; "" for none.
func (n *testNode) awaitOwner(id ownership.AgentID, owner string) {
	n.s.t.Helper()
	var o ownership.Owner
	awaitCondition(n.s.t, fmt.Sprintf("%s has agent %v at %q", n.name, id, owner), func() bool {
		var ok bool
		o, ok = n.Owner(id)
		is := ok && o.Reason == ownership.Here && !o.Lost
		return is && o.Node == owner || !is && owner == ""
	})
}

// found returns the events of a kind so far.
func (n *testNode) found(kind ownership.EventKind) (list []ownership.Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.events {
		if e.Kind == kind {
			list = append(list, e)
		}
	}
	return list
}

func (n *testNode) awaitEvents(kind ownership.EventKind, count int) []ownership.Event {
	n.s.t.Helper()
	awaitCondition(n.s.t, fmt.Sprintf("%s has %d events of kind %d", n.name, count, kind), func() bool { return len(n.found(kind)) >= count })
	return n.found(kind)
}

// awaitNode waits until the node knows another one, lost or not.
func (n *testNode) awaitNode(name string, lost bool) {
	n.s.t.Helper()
	awaitCondition(n.s.t, fmt.Sprintf("%s has node %s lost: %v", n.name, name, lost), func() bool {
		for _, o := range n.Nodes() {
			if o.Name == name && o.Order > 0 {
				return o.Lost == lost
			}
		}
		return false
	})
}
