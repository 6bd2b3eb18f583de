package streamfiles

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// knownServers are the versions of nats-server whose files this package has been read
// against: the functions that write and read them (filestore.go), and the tests of
// damaged stores in internal/outbox.
var knownServers = []string{"2.15.3"}

func TestTheServersFilesAreKnown(t *testing.T) {
	if !slices.Contains(knownServers, server.VERSION) {
		t.Errorf("nats-server %s may store streams in another way than the versions known, %v: compare its filestore.go with theirs (writeMsgRecord, "+
			"recoverMsgs, the checksums, encodeConsumerState, and where the directories are), run the tests of internal/outbox with many rounds, then add it to knownServers",
			server.VERSION, knownServers)
	}
}

// newStream runs a server with a stream in dir, and returns what publishes to it. The
// server runs until stop is called.
func newStream(t testing.TB, dir string) (publish func(size int), stop func()) {
	t.Helper()
	srv, err := server.NewServer(&server.Options{DontListen: true, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	stop = func() { srv.Shutdown(); srv.WaitForShutdown() }
	t.Cleanup(stop)
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server is not ready")
	}
	nc, err := nats.Connect("", nats.InProcessServer(srv))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "STATUS", Subjects: []string{"s.>"}}); err != nil {
		t.Fatal(err)
	}
	n := 0
	publish = func(size int) {
		n++
		m := &nats.Msg{Subject: fmt.Sprintf("s.%d", n), Data: make([]byte, size), Header: nats.Header{"Nats-Msg-Id": {fmt.Sprint(n)}}}
		if _, err := js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	return publish, stop
}

func TestSyncFollowsTheStreamIntoItsNextFile(t *testing.T) {
	dir := t.TempDir()
	publish, _ := newStream(t, dir)
	s := NewSyncer(dir, "STATUS")
	if err := s.SyncSettings(); err != nil {
		t.Fatal(err)
	}
	for s.synced < 3 {
		publish(900_000)
		if err := s.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.RemoveAll(s.dir), os.Mkdir(s.dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := s.Sync(); err == nil || !strings.Contains(err.Error(), "no stream files") {
		t.Errorf("error is %v", err)
	}
}

func FuzzReadBlock(f *testing.F) {
	dir := f.TempDir()
	publish, stop := newStream(f, dir)
	for range 5 {
		publish(30)
	}
	stop()
	data, err := os.ReadFile(filepath.Join(MessagesDir(dir, "STATUS"), "1.blk"))
	if err != nil {
		f.Fatal(err)
	}
	if b := readBlock(data, "STATUS", 1, 0); b.last != 5 || b.damaged() || b.torn {
		f.Fatalf("five messages are %+v", b)
	}
	flipped := bytes.Clone(data)
	flipped[200] ^= 0x10
	f.Add(data)
	f.Add(data[:len(data)-1])
	f.Add(flipped)
	f.Add(append([]byte("garbage"), data...))
	f.Fuzz(func(t *testing.T, data []byte) {
		b := readBlock(data, "STATUS", 1, 0)
		var sound []byte
		for _, run := range b.sound {
			sound = append(sound, data[run[0]:run[1]]...)
		}
		again := readBlock(sound, "STATUS", 1, 0)
		if again.damaged() || again.torn || again.last != b.last {
			t.Errorf("what is sound of %q is %+v, and then %+v", data, b, again)
		}
	})
}
