package doctor

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsserver "github.com/nats-io/nats-server/v2/test"
)

// runServer returns a server with JetStream of a domain, "" for none.
func runServer(t *testing.T, domain string, change func(*server.Options)) *server.Server {
	t.Helper()
	opts := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true, ServerName: "server" + domain,
		JetStream: true, JetStreamDomain: domain, StoreDir: t.TempDir()}
	if change != nil {
		change(opts)
	}
	s := natsserver.RunServer(opts)
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s
}

// runLeafOfHub returns a leaf node that knows what the JetStream of its hub answers, whose domain is hub.
func runLeafOfHub(t *testing.T) *server.Server {
	t.Helper()
	hub := runServer(t, "hub", func(o *server.Options) { o.LeafNode = server.LeafNodeOpts{Host: "127.0.0.1", Port: server.RANDOM_PORT} })
	info, err := hub.Varz(nil)
	if err != nil {
		t.Fatal(err)
	}
	to := &url.URL{Scheme: "nats-leaf", Host: fmt.Sprintf("127.0.0.1:%d", info.LeafNode.Port)}
	leaf := runServer(t, "", func(o *server.Options) {
		o.JetStream, o.LeafNode.Remotes = false, []*server.RemoteLeafOpts{{URLs: []*url.URL{to}}}
	})
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for deadline := time.After(time.Minute); leaf.GlobalAccount().Interest("$JS.hub.API.INFO") == 0; {
		select {
		case <-look.C:
		case <-deadline:
			t.Fatal("the leaf node is not connected to the hub")
		}
	}
	return leaf
}

func TestDoctorSaysWhetherTheJetStreamDomainIsThere(t *testing.T) {
	const missing = "is there: messages wait on disk"
	for _, tt := range []struct {
		name, asked, own string
		leaf             bool
		level            Level
		what, hint       string
	}{
		{name: "the server's own", asked: "hub", own: "hub", level: Good, what: "the JetStream of the domain hub is there"},
		{name: "without the hub", asked: "hub", level: Failure, what: "no JetStream of the domain hub " + missing, hint: "connected to the hub"},
		{name: "of a server of another", asked: "hub", own: "edge", level: Failure, what: "no JetStream of the domain hub " + missing,
			hint: "the domain of the server itself is edge"},
		{name: "the hub's, at a leaf node", asked: "hub", leaf: true, level: Good, what: "the JetStream of the domain hub is there"},
		{name: "unknown, at a leaf node", asked: "center", leaf: true, level: Failure, what: "no JetStream of the domain center " + missing, hint: "if that is the hub's domain"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := host(t)
			s := runLeafOfHub
			if !tt.leaf {
				s = func(t *testing.T) *server.Server { return runServer(t, tt.own, nil) }
			}
			l.NATS.ServerURL, l.NATS.JetStreamDomain = s(t).ClientURL(), tt.asked
			all := examined(t.Context(), l)
			if list := of(all, "domain"); len(list) != 1 || list[0].Level != tt.level || !strings.HasPrefix(list[0].What, tt.what) || !strings.Contains(list[0].Hint, tt.hint) {
				t.Errorf("%+v", list)
			}
			if others := of(all, "rights"); (len(others) > 0) != (tt.level == Good) {
				t.Errorf("%+v", others)
			}
		})
	}
}
