package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/seal"
)

const patience = time.Minute

// platform is a NATS server with a stream STATUS, and a node's keys.
type platform struct {
	t      *testing.T
	server *server.Server
	js     jetstream.JetStream
	signer *seal.Signer
	seal   *seal.Encrypter
	next   uint64
	o      options
}

func startPlatform(t *testing.T) *platform {
	log.SetOutput(t.Output())
	dir := t.TempDir()
	s := startServer(t, &server.Options{ServerName: "hub", JetStream: true, JetStreamDomain: "hub", StoreDir: dir,
		LeafNode: server.LeafNodeOpts{Host: "127.0.0.1", Port: -1}})
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js := must(jetstream.New(nc))
	must(js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "STATUS", Subjects: []string{"wazuh.xdr.agent.*.status_change", "wazuh.xdr.alerts.>"}}))

	signing, mine := must(seal.GenerateKey(seal.Signing)), must(seal.GenerateKey(seal.Encryption))
	signing.Node = "node01"
	p := &platform{t: t, server: s, js: js, signer: must(seal.NewSigner(signing)), seal: must(seal.NewEncrypter(mine.Public())),
		o: options{server: s.ClientURL(), keys: filepath.Join(dir, "public.jwks"), decrypt: filepath.Join(dir, "xdr.jwk"),
			stream: "STATUS", durable: "xdr-go", db: filepath.Join(dir, "xdr.db")}}
	for path, data := range map[string][]byte{p.o.keys: must(seal.MarshalKeys(signing)), p.o.decrypt: must(seal.MarshalPrivate(mine))} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func startServer(t *testing.T, opts *server.Options) *server.Server {
	opts.Host, opts.Port, opts.NoSigs, opts.NoLog = "127.0.0.1", -1, true, true
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(patience) {
		t.Fatal("the NATS server does not start")
	}
	return s
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// publish publishes a status change as a node does, signed and encrypted.
func (p *platform) publish(agent string, to event.Status) *nats.Msg {
	p.t.Helper()
	p.next++
	subject := event.Prefix(event.DefaultPrefix).StatusChange(agent)
	data := must(p.seal.Encrypt(fmt.Appendf(nil, `{"status_change":{"agent_id":%q,"agent_name":"web","current_status":%d,"reason":"connection_lost"},`+
		`"security":{"source":"wazuh-manager","sequence":%d,"node":"node01","epoch":1,"issued_at":%d,"subject":%q}}`,
		agent, to, p.next, time.Now().UnixMilli(), subject)))
	m := &nats.Msg{Subject: subject, Data: data, Header: nats.Header{seal.SignatureHeader: {p.signer.Sign(data)}}}
	must(p.js.PublishMsg(p.t.Context(), m))
	return m
}

// run runs the program until ended returns true.
func (p *platform) run(ended func(s *store) bool) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	s := must(openStore(ctx, p.o.db))
	defer s.Close()
	done := make(chan error, 1)
	go func() { done <- consume(ctx, &p.o) }()
	for !ended(s) && ctx.Err() == nil {
		wait(ctx, 10*time.Millisecond)
	}
	if ctx.Err() != nil {
		p.t.Error("what was waited for did not happen")
	}
	cancel()
	if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
		p.t.Error(err)
	}
}

// pending returns how many messages were not delivered, or not acknowledged.
func (p *platform) pending() int {
	c, err := p.js.Consumer(p.t.Context(), "STATUS", p.o.durable)
	if err != nil {
		return -1
	}
	info := must(c.Info(p.t.Context()))
	return info.NumAckPending + int(info.NumPending)
}

func (s *store) count(query string) (n int) {
	if err := s.QueryRow(query).Scan(&n); err != nil {
		panic(err)
	}
	return n
}

func TestEveryMessageCountsOnceOverRestarts(t *testing.T) {
	p := startPlatform(t)
	for i := range 300 {
		p.publish(fmt.Sprintf("%03d", i%50+1), event.Status(i%2))
	}
	stored := func(n int) func(*store) bool {
		return func(s *store) bool { return s.count("SELECT count(*) FROM messages") >= n }
	}
	p.run(stored(1)) // and is ended somewhere in it
	p.publish("777", event.Disconnected)
	p.run(stored(301))
	p.run(func(*store) bool { return p.pending() == 0 }) // what was delivered twice is acknowledged
	s := must(openStore(t.Context(), p.o.db))
	defer s.Close()
	if n := s.count("SELECT count(*) FROM messages"); n != 301 {
		t.Errorf("%d messages, want 301", n)
	}
	if n := s.count("SELECT count(*) FROM agents WHERE id = '777' AND status = 'disconnected'"); n != 1 {
		t.Errorf("agent 777: %d rows", n)
	}
}

// A message as an attacker with a login publishes it: another's, a changed one, a replay.
func TestNothingForgedIsStored(t *testing.T) {
	p := startPlatform(t)
	good := p.publish("001", event.Active)
	changed := &nats.Msg{Subject: "wazuh.xdr.agent.001.status_change", Header: good.Header, Data: append([]byte(nil), good.Data...)}
	changed.Data[len(changed.Data)/2] ^= 1
	elsewhere := &nats.Msg{Subject: "wazuh.xdr.agent.002.status_change", Header: good.Header, Data: good.Data}
	unsigned := &nats.Msg{Subject: good.Subject, Data: good.Data}
	garbage := &nats.Msg{Subject: "wazuh.xdr.alerts.x", Data: []byte("{")}
	for _, m := range []*nats.Msg{changed, elsewhere, unsigned, garbage, good} {
		must(p.js.PublishMsg(t.Context(), m))
	}
	p.publish("003", event.Disconnected)
	p.run(func(*store) bool { return p.pending() == 0 })
	s := must(openStore(t.Context(), p.o.db))
	defer s.Close()
	if n := s.count("SELECT count(*) FROM messages"); n != 2 {
		t.Errorf("%d messages are stored, want 2", n)
	}
}

func TestAtALeafNodeTheStreamOfTheHubIsRead(t *testing.T) {
	p := startPlatform(t)
	info := must(p.server.Varz(nil))
	to := must(url.Parse(fmt.Sprintf("nats-leaf://127.0.0.1:%d", info.LeafNode.Port)))
	leaf := startServer(t, &server.Options{ServerName: "leaf", LeafNode: server.LeafNodeOpts{Remotes: []*server.RemoteLeafOpts{{URLs: []*url.URL{to}}}}})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for leaf.GlobalAccount().Interest("$JS.hub.API.INFO") == 0 {
		if wait(ctx, time.Millisecond); ctx.Err() != nil {
			t.Fatal("the leaf node is not connected to the hub")
		}
	}
	p.o.server, p.o.domain = leaf.ClientURL(), "hub"
	p.publish("001", event.Disconnected)
	p.publish("002", event.Disconnected)
	p.run(func(s *store) bool { return s.count("SELECT count(*) FROM messages") == 2 && p.pending() == 0 })
}
