package keys

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/kv"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
)

const stream = "KV_" + Bucket

const patience = time.Minute

// shown runs a server with JetStream, and on it a node that shows its keys until the
// test's end. Others may have made something there before.
func shown(t *testing.T, before func(jetstream.JetStream)) (jetstream.JetStream, *testsupport.Log) {
	t.Helper()
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(patience) {
		t.Fatal("the NATS server does not start")
	}
	connect := func() *nats.Conn {
		nc, err := nats.Connect(srv.ClientURL())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc
	}
	js, err := jetstream.New(connect(), jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	before(js)
	f := &Files{Node: "node01", StateDir: t.TempDir()}
	if _, err := f.OpenSigning(); err != nil {
		t.Fatal(err)
	}
	log := new(testsupport.Log)
	b := &KVPublisher{Files: f, Log: slog.New(slog.NewTextHandler(log, nil)), checkPeriod: 20 * time.Millisecond}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	nc := connect()
	running.Go(func() { b.Run(ctx, nc, nil, func(string) error { return nil }) })
	t.Cleanup(func() { stop(); running.Wait() })
	return js, log
}

// awaitKeys waits until the node's keys are in the bucket, later than a revision.
func awaitKeys(t *testing.T, js jetstream.JetStream, after uint64) (revision uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if store, err := js.KeyValue(ctx, Bucket); err == nil {
			if e, err := store.Get(ctx, "node01"); err == nil && bytes.Contains(e.Value(), []byte(`"keys"`)) && e.Revision() > after {
				return e.Revision()
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("the keys are not in the bucket")
		}
	}
}

func TestPublicKeysThatWereRemovedAreShownAgain(t *testing.T) {
	t.Parallel()
	wipeable := func(js jetstream.JetStream) {
		cfg := kv.StreamConfig(Bucket, "", 1)
		cfg.DenyPurge, cfg.DenyDelete = false, false
		if _, err := js.CreateStream(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}
	js, log := shown(t, wipeable)
	last := awaitKeys(t, js, 0)
	for name, remove := range map[string]func(s jetstream.Stream) error{
		"a purge": func(s jetstream.Stream) error { return s.Purge(t.Context()) },
		"a delete marker": func(jetstream.Stream) error {
			store, err := js.KeyValue(t.Context(), Bucket)
			if err != nil {
				return err
			}
			return store.Delete(t.Context(), "node01")
		},
		"another value": func(jetstream.Stream) error {
			_, err := js.Publish(t.Context(), "$KV."+Bucket+".node01", []byte("{}"))
			return err
		},
	} {
		s, err := js.Stream(t.Context(), stream)
		if err == nil {
			err = remove(s)
		}
		if err != nil {
			t.Fatal(name, err)
		}
		last = awaitKeys(t, js, last)
	}
	if n := strings.Count(log.String(), "removed or changed by somebody else"); n != 3 {
		t.Errorf("said %d times:\n%s", n, log)
	}
	if err := js.DeleteStream(t.Context(), stream); err != nil {
		t.Fatal(err)
	}
	awaitKeys(t, js, 0)
}

func TestTheBucketOfPublicKeysRefusesRollUps(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(jetstream.JetStream){
		"made by the node": func(jetstream.JetStream) {},
		"made by another client": func(js jetstream.JetStream) {
			if _, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: Bucket, History: 10}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			js, _ := shown(t, before)
			awaitKeys(t, js, 0)
			m := nats.NewMsg("$KV." + Bucket + ".node02")
			m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupAll)
			if _, err := js.PublishMsg(t.Context(), m, jetstream.WithRetryAttempts(0)); err == nil {
				t.Error("it was taken")
			}
			s, err := js.Stream(t.Context(), stream)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Purge(t.Context()); err == nil {
				t.Error("it was purged")
			}
			awaitKeys(t, js, 0)
		})
	}
}
