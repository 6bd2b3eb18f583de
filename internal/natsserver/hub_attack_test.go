package natsserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/provision"
	"github.com/wazuh-pulse/pulse/internal/testport"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
)

// runningHub is the server of a cluster, with the streams of its setup.
type runningHub struct {
	*testing.T
	*Hub
	dir  string // of the setup
	addr string
}

// startTestHub starts a server that stores in a directory, and looks often whether it can
// be started again.
func startTestHub(t *testing.T, store string) *runningHub {
	t.Helper()
	cfg := provision.Config{Dir: filepath.Join(t.TempDir(), "setup"), Operator: "Example", Prefix: prefix, Hosts: []string{"127.0.0.1"}, Port: testport.Free(t),
		Replicas: 1, Nodes: []string{"node01", "node02"}, Readers: []string{"xdr"}, Cluster: "main", Hub: "node01", StoreDir: store}
	cfg.ServerDir = filepath.Join(cfg.Dir, "server")
	if _, err := provision.New(cfg); err != nil {
		t.Fatal(err)
	}
	h, err := startHub(filepath.Join(cfg.ServerDir, "nats-server.conf"), slog.New(slog.DiscardHandler), 20*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Stop)
	setup, err := provision.Open(cfg.Dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = setup.Apply(testContext(t), "")
	if err := errors.Join(err, setup.Close()); err != nil {
		t.Fatal(err)
	}
	return &runningHub{t, h, cfg.Dir, fmt.Sprintf("127.0.0.1:%d", cfg.Port)}
}

// connectWorker logs in as a node that does not run the server.
func (h *runningHub) connectWorker(opts ...nats.Option) (*nats.Conn, jetstream.JetStream) {
	h.Helper()
	return testsupport.ConnectNATS(h.T, "tls://"+h.addr, append([]nats.Option{nats.UserCredentials(filepath.Join(h.dir, "nodes/node02/pulse-nats.creds")),
		nats.RootCAs(filepath.Join(h.dir, "server/ca.crt")), nats.CustomInboxPrefix("_INBOX.node02"), nats.MaxReconnects(-1), nats.ReconnectWait(10 * time.Millisecond),
		nats.RetryOnFailedConnect(true), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})}, opts...)...)
}

// awaitStored publishes a status change until it is stored.
func (h *runningHub) awaitStored(js jetstream.JetStream) {
	h.Helper()
	ctx := testContext(h.T)
	for {
		asking, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		_, err := js.Publish(asking, prefix+".agent.001.status_change", []byte("{}"))
		cancel()
		switch {
		case err == nil:
			return
		case ctx.Err() != nil:
			h.Fatal(err)
		}
	}
}

// Whoever reaches the port may open connections. They must not keep a worker out, nor take the files that the node
// needs for its agents.
func TestStrangersDoNotLockAWorkerOutOfAClustersServer(t *testing.T) {
	t.Parallel()
	h := startTestHub(t, t.TempDir())
	var closed atomic.Int64
	const each = 200
	for _, from := range []string{"127.0.0.66", "127.0.0.67", "127.0.0.68"} {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		for range each {
			c, err := d.Dial("tcp", h.addr)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
			go func() {
				_, _ = io.Copy(io.Discard, c)
				closed.Add(1)
			}()
		}
	}
	_, js := h.connectWorker()
	h.awaitStored(js)
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for ctx := testContext(t); closed.Load() < 3*(each-int64(hubStrangers.perClient)); {
		select {
		case <-look.C:
		case <-ctx.Done():
			t.Fatalf("%d connections were closed", closed.Load())
		}
	}
}

func TestConnectionsWithoutALoginGiveWayFirst(t *testing.T) {
	now := time.Now()
	var all []*server.ConnInfo
	add := func(ip, user string, n int, age time.Duration) {
		for range n {
			all = append(all, &server.ConnInfo{Cid: uint64(len(all)), IP: ip, AuthorizedUser: user, Start: now.Add(-age), LastActivity: now.Add(-age)})
		}
	}
	count := func(taken int) map[netip.Addr]int {
		victims := map[netip.Addr]int{}
		for _, v := range excessHubConnections(all, now, taken) {
			victims[v.client.Addr()]++
		}
		return victims
	}
	honest, attacker, new, worker := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.66"), netip.MustParseAddr("10.0.0.3"), netip.MustParseAddr("10.0.0.4")
	add(honest.String(), "node", 3, time.Hour)
	add(attacker.String(), "", hubStrangers.perClient+5, time.Second)
	add(new.String(), "", hubStrangers.perClient+5, loginTime/2)
	add(worker.String(), "node", hubUsers.perClient+2, time.Minute)
	if got := count(hubConnectionsTaken); len(got) != 2 || got[attacker] != 5 || got[worker] != 2 {
		t.Errorf("%v", got)
	}
	if got := count(len(all)); got[new] != 5 || got[attacker] != 5 || got[honest] != 0 { // half of all are taken
		t.Errorf("%v", got)
	}
}

// Whoever may log in may ask for much on many connections, and read nothing.
func TestConnectionsThatDoNotReadGiveWay(t *testing.T) {
	var all []*server.ConnInfo
	add := func(ip string, n, pending int) {
		for range n {
			all = append(all, &server.ConnInfo{Cid: uint64(len(all)), IP: ip, AuthorizedUser: "node", Pending: pending})
		}
	}
	add("10.0.0.1", 1, pendingMax)
	add("10.0.0.2", 3, 1<<20)
	add("10.0.0.66", 9, 10<<20)
	victims := excessHubConnections(all, time.Now(), hubConnectionsTaken)
	if len(victims) != 3 || victims[0].client.Addr() != netip.MustParseAddr("10.0.0.66") || victims[2].client.Addr() != netip.MustParseAddr("10.0.0.66") {
		t.Errorf("%+v", victims)
	}
	for i := range 6 {
		add(fmt.Sprintf("10.0.1.%d", i), 2, 25<<20)
	}
	waits := 0
	gone := map[uint64]bool{}
	for _, v := range excessHubConnections(all, time.Now(), hubConnectionsTaken) {
		gone[v.cid] = true
	}
	for _, c := range all {
		if !gone[c.Cid] {
			waits += c.Pending
		}
	}
	if waits > hubPendingTotal || waits < hubPendingTotal/2 || gone[1] {
		t.Errorf("%d bytes wait after %d were closed", waits, len(gone))
	}
}

func TestAWorkerHasOnlySoManySubscriptionsAtAClustersServer(t *testing.T) {
	t.Parallel()
	h := startTestHub(t, t.TempDir())
	refused := make(chan error, 1)
	nc, _ := h.connectWorker(nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		select {
		case refused <- err:
		default:
		}
	}))
	for i := range subscriptionsMax + 1 {
		if _, err := nc.SubscribeSync(fmt.Sprintf("_INBOX.node02.%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-refused:
		if !errors.Is(err, nats.ErrMaxSubscriptionsExceeded) {
			t.Error(err)
		}
	case <-testContext(t).Done():
		t.Error("not refused")
	}
}

func TestAClustersServerLimitsWhatItsClientsUse(t *testing.T) {
	var opts server.Options
	boundHub(&opts)
	if opts.MaxConn <= 0 || opts.MaxConn > hubConnectionsTaken || opts.MaxSubs != subscriptionsMax || opts.MaxPending != hubPendingMax || opts.StreamMaxBufferedSize != hubBufferedMax {
		t.Errorf("%+v", opts)
	}
	own := server.Options{MaxConn: 10, MaxSubs: 20, MaxPending: 30, StreamMaxBufferedSize: 40, MaxClosedClients: 50}
	if boundHub(&own); own.MaxConn != 10 || own.MaxSubs != 20 || own.MaxPending != 30 || own.StreamMaxBufferedSize != 40 || own.MaxClosedClients != 50 {
		t.Errorf("lower limits of the configuration: %+v", own)
	}
}

// A worker, or anything else, may fill the disk. When it has room again, all is as before.
func TestAClustersServerGoesOnWhenItsDiskHasRoomAgain(t *testing.T) {
	t.Parallel()
	store := t.TempDir()
	if err := syscall.Mount("tmpfs", store, "tmpfs", 0, "mode=0700,size=24m"); err != nil {
		t.Skipf("mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(store, 0); err != nil {
			t.Error(err)
		}
	})
	h := startTestHub(t, store)
	_, js := h.connectWorker()
	for ctx := testContext(t); h.lines.context().Err() == nil; {
		asking, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		_, _ = js.Publish(asking, prefix+".agent.001.status_change", make([]byte, 500_000))
		if cancel(); ctx.Err() != nil {
			t.Fatal("the server does not log that it stores no more")
		}
	}
	if err := syscall.Mount("", store, "tmpfs", syscall.MS_REMOUNT, "size=128m"); err != nil {
		t.Fatal(err)
	}
	h.awaitStored(js)
}
