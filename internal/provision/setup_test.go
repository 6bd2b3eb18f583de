package provision_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/provision"
	"github.com/wazuh-pulse/pulse/internal/testport"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
	"go.uber.org/goleak"
)

// patience is how long a test waits for what has to come.
const patience = time.Minute

func TestMain(m *testing.M) {
	runNodeToBeKilled()
	// The server that a test has ended waits some seconds more for the answer of a stream's source.
	testsupport.RunInParallel(8) // they mostly wait
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*stream).trySetupSourceConsumer.func3"))
}

func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// requestedConfig returns the configuration of a setup of two nodes and two readers, in a directory of its own.
func requestedConfig(t testing.TB) provision.Config {
	return provision.Config{Dir: filepath.Join(t.TempDir(), "setup"), Operator: "Example", Prefix: "wazuh.xdr", Hosts: []string{"127.0.0.1"},
		Port: testport.Free(t), Replicas: 1, Nodes: []string{"node01", "node02"}, Readers: []string{"xdr", "soc"}}
}

// stage is a setup, and a NATS server that was started from its files.
type stage struct {
	*testing.T
	dir     string
	srv     *server.Server // nil if a node runs it
	port    int            // of a server that a node runs
	leafURL string         // of the leaf node that clients connect to; "" for the server
	refused chan error     // what the server refuses to any of connect's
}

func newStage(t *testing.T, change ...func(*provision.Config)) *stage {
	t.Helper()
	cfg := requestedConfig(t)
	for _, f := range change {
		f(&cfg)
	}
	if _, err := provision.New(cfg); err != nil {
		t.Fatal(err)
	}
	s := &stage{T: t, dir: cfg.Dir, refused: make(chan error, 100)}
	s.srv = startServer(t, cfg.Dir)
	st := s.open()
	made, err := st.Apply(patient(t), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	want := 4 + 3*len(cfg.Readers) + len(cfg.Nodes)
	if cfg.Cluster != "" {
		want++
	}
	if cfg.OCSF != "" {
		want += 1 + len(cfg.Readers)
	}
	if len(made) != want {
		t.Fatalf("made %v, want %d", made, want)
	}
	return s
}

// startServer starts a NATS server from the setup's files as they are.
func startServer(t testing.TB, dir string) *server.Server {
	t.Helper()
	opts, err := server.ProcessConfigFile(filepath.Join(dir, "server/nats-server.conf"))
	if err != nil {
		t.Fatal(err)
	}
	if opts.LeafNode.Port != 0 { // the same for every setup
		opts.LeafNode.Host, opts.LeafNode.Port = "127.0.0.1", server.RANDOM_PORT
	}
	opts.NoSigs, opts.NoLog, opts.TLSTimeout, opts.AuthTimeout = true, true, 20, 20 // patience for a loaded machine
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

func (s *stage) url() string {
	if s.leafURL != "" {
		return s.leafURL
	}
	if s.srv == nil { // a node runs it
		return fmt.Sprintf("tls://127.0.0.1:%d", s.port)
	}
	return fmt.Sprintf("tls://127.0.0.1:%d", s.srv.Addr().(*net.TCPAddr).Port)
}

// open takes the setup up, for the length of one test.
func (s *stage) open() *provision.Setup {
	s.Helper()
	st, err := provision.Open(s.dir)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = st.Close() })
	return st
}

func (s *stage) path(name string) string { return filepath.Join(s.dir, name) }

// dial connects with credentials of the setup.
func (s *stage) dial(creds string, more ...nats.Option) (*nats.Conn, error) {
	nc, err := nats.Connect(s.url(), append([]nats.Option{nats.UserCredentials(s.path(creds)), nats.RootCAs(s.path("server/ca.crt")),
		nats.Timeout(patience), nats.MaxReconnects(0),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { s.refused <- err })}, more...)...)
	if err == nil {
		s.Cleanup(nc.Close)
	}
	return nc, err
}

func (s *stage) connect(creds string, more ...nats.Option) (*nats.Conn, jetstream.JetStream) {
	s.Helper()
	nc, err := s.dial(creds, more...)
	if err != nil {
		s.Fatalf("log in with %s: %v", creds, err)
	}
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(patience))
	if err != nil {
		s.Fatal(err)
	}
	return nc, js
}

func (s *stage) node(name string) (*nats.Conn, jetstream.JetStream) {
	s.Helper()
	return s.connect("nodes/"+name+"/pulse-nats.creds", nats.CustomInboxPrefix("_INBOX."+name))
}

func (s *stage) reader(name string) (*nats.Conn, jetstream.JetStream) {
	s.Helper()
	return s.connect("readers/" + name + "/" + name + ".creds")
}

func (s *stage) admin() jetstream.JetStream {
	s.Helper()
	_, js := s.connect("admin/admin.creds")
	return js
}

// mayNot wants the server to have refused something to do with subject.
func (s *stage) mayNot(subject string) {
	s.Helper()
	select {
	case err := <-s.refused:
		if !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), `"`+subject+`"`) {
			s.Errorf("refused %v, want %s", err, subject)
		}
	case <-time.After(patience):
		s.Errorf("%s is not refused", subject)
	}
}

// nothingRefused is after a round trip of nc.
func (s *stage) nothingRefused(nc *nats.Conn) {
	s.Helper()
	if err := nc.FlushWithContext(patient(s)); err != nil {
		s.Fatal(err)
	}
	select {
	case err := <-s.refused:
		s.Errorf("refused: %v", err)
	default:
	}
}

// held is what streams hold, by name.
func (s *stage) held(js jetstream.JetStream) map[string]uint64 {
	s.Helper()
	n := make(map[string]uint64)
	for _, name := range []string{"STATUS", "TELEMETRY", "KV_PULSE_AGENTS", "KV_PULSE_KEYS"} {
		stream, err := js.Stream(patient(s), name)
		if err != nil {
			s.Fatal(err)
		}
		n[name] = stream.CachedInfo().State.Msgs
	}
	return n
}

func modeOf(t testing.TB, path string) os.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}
