package kv

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestAnAnswerToAWriteIsARevisionOrAReason(t *testing.T) {
	if revision, err := parseAck(&nats.Msg{Data: []byte(`{"stream":"KV_A","seq":7}`)}); revision != 7 || err != nil {
		t.Errorf("%d, %v", revision, err)
	}
	var api *jetstream.APIError
	if _, err := parseAck(&nats.Msg{Data: []byte(`{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 3"}}`)}); !errors.As(err, &api) || api.ErrorCode != jetstream.JSErrCodeStreamWrongLastSequence {
		t.Error(err)
	}
	if _, err := parseAck(&nats.Msg{Header: nats.Header{"Status": {"503"}}}); !errors.Is(err, jetstream.ErrNoStreamResponse) {
		t.Error(err)
	}
	for _, text := range []string{"", "hello", "{}", `{"seq":-1}`, `{"seq":0}`, `[]`} {
		if _, err := parseAck(&nats.Msg{Data: []byte(text)}); !errors.Is(err, errBadAck) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// A write that the server took no notice of leaves nothing behind.
func TestAWriteWithoutAnAnswerIsForgotten(t *testing.T) {
	t.Parallel()
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(time.Minute) {
		t.Fatal("the server does not start")
	}
	nc, err := nats.Connect(srv.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if _, err := nc.SubscribeSync("$KV.A.>"); err != nil { // in the bucket's place
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	b := &Bucket{BucketConfig: BucketConfig{Stream: StreamConfig("A", "", 1), Timeout: 10 * time.Millisecond, Refusal: func(string) error { return nil }}, js: js}
	w, err := b.NewWriter()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for range 3 {
		p, err := w.StartPut("001", new(nats.Msg), 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Wait(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	}
	if w.mu.Lock(); len(w.pending) > 0 {
		t.Errorf("%d writes are remembered", len(w.pending))
	}
	w.mu.Unlock()
}

func FuzzParseAck(f *testing.F) {
	f.Add([]byte(`{"stream":"KV_A","seq":7}`))
	f.Add([]byte(`{"error":{"err_code":10071}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if revision, err := parseAck(&nats.Msg{Data: data}); (revision == 0) == (err == nil) {
			t.Errorf("%d, %v", revision, err)
		}
	})
}
