package outbox

import (
	"bytes"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/streamfiles"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
)

// closedStore is a store with messages, closed in good order: in one file for each
// stream, or with large ones in two.
type closedStore struct {
	dir    string
	status []Message
}

func newClosedStore(t testing.TB, large bool) *closedStore {
	t.Helper()
	k := &closedStore{dir: t.TempDir()}
	o := mustOpen(t, Config{Dir: k.dir, Listen: "127.0.0.1:0"})
	k.status = messages(Status, 1, 400)
	for i := range k.status {
		size := 300
		if large {
			size += 50_000 * (i % 2)
		}
		k.status[i].Data = fmt.Appendf(nil, "%d %s", i, strings.Repeat("y", size))
	}
	mustPublish(t, o, append(slices.Clone(k.status), messages(Telemetry, 1, 200)...))
	_, js := testsupport.ConnectNATS(t, o.URL())
	testsupport.ReadDurably(t, js, firstSubjects(k.status)...)
	mustClose(t, o)
	return k
}

func (k *closedStore) path(parts ...string) string {
	return filepath.Join(append([]string{streamfiles.Dir(k.dir, "")}, parts...)...)
}

// rewriteFile rewrites a file.
func rewriteFile(t testing.TB, path string, how func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, how(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func flipBit(at int) func([]byte) []byte {
	return func(data []byte) []byte {
		data[(at+len(data))%len(data)] ^= 0x10
		return data
	}
}

// flipBitWithin flips a bit of a message.
func flipBitWithin(words string) func([]byte) []byte {
	return func(data []byte) []byte { return flipBit(bytes.Index(data, []byte(words)))(data) }
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

func TestOfADamagedStoreAllThatIsSoundStays(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(t *testing.T, k *closedStore)
		gone   []int // of STATUS, from 0
		words  string
	}{
		{"a message is damaged", func(t *testing.T, k *closedStore) {
			rewriteFile(t, k.path("STATUS", "msgs", "1.blk"), flipBitWithin("node01-1-58\r"))
		}, []int{57}, `the store was damaged: its intact messages are kept" stream=STATUS messages_lost=1 files=1`},
		{"messages in two files are damaged, and a length", func(t *testing.T, k *closedStore) {
			rewriteFile(t, k.path("STATUS", "msgs", "1.blk"), flipBitWithin("node01-1-58\r"))
			rewriteFile(t, k.path("STATUS", "msgs", "1.blk"), func(data []byte) []byte {
				at := bytes.Index(data, []byte(prefix+".agent.100.")) - 22 // before the subject
				return flipBit(at + 1)(data)
			})
			rewriteFile(t, k.path("STATUS", "msgs", "2.blk"), flipBit(500))
		}, []int{57, 99, -1}, "messages_lost=3 files=2"},
		{"the first message is damaged", func(t *testing.T, k *closedStore) {
			rewriteFile(t, k.path("STATUS", "msgs", "1.blk"), flipBit(100))
		}, []int{0}, "messages_lost=1 files=1"},
		{"the last message is damaged", func(t *testing.T, k *closedStore) {
			rewriteFile(t, k.path("STATUS", "msgs", "1.blk"), flipBit(-20))
		}, []int{399}, "lost=1 left=399"},
		{"the index is garbage", func(t *testing.T, k *closedStore) {
			rewriteFile(t, k.path("STATUS", "msgs", "index.db"), flipBit(30))
		}, nil, ""},
		{"the settings are damaged", func(t *testing.T, k *closedStore) {
			rewriteFile(t, k.path("STATUS", "meta.inf"), flipBit(30))
			remove(t, k.path("TELEMETRY", "meta.sum"))
		}, nil, "the settings of a stream were damaged"},
		{"a reader's settings are damaged", func(t *testing.T, k *closedStore) {
			rewriteFile(t, k.path("STATUS", "obs", "xdr", "meta.inf"), flipBitWithin("ack_policy"))
		}, nil, `a reader's settings were damaged: it has to begin anew" consumer=STATUS/xdr`},
		{"a reader's position is damaged", func(t *testing.T, k *closedStore) {
			rewriteFile(t, k.path("STATUS", "obs", "xdr", "o.dat"), func(data []byte) []byte { return data[:4] })
		}, nil, `a reader's position was damaged: it begins anew" consumer=STATUS/xdr`},
		{"a process was killed while the server opened the store", func(t *testing.T, k *closedStore) {
			if _, err := streamfiles.HoldFiles(k.dir); err != nil {
				t.Fatal(err)
			}
			remove(t, k.path("STATUS"))
		}, nil, ""},
		{"telemetry has a file in it that the server does not want", func(t *testing.T, k *closedStore) {
			rewriteFile(t, k.path("TELEMETRY", "meta.sum"), func(sum []byte) []byte { return writeKey(t, k, "TELEMETRY", sum) })
		}, nil, "a stream could not be opened: it begins empty"},
		{"a file of telemetry is garbage", func(t *testing.T, k *closedStore) {
			rewriteFile(t, k.path("TELEMETRY", "msgs", "1.blk"), func(data []byte) []byte { return bytes.Repeat([]byte("?"), len(data)) })
		}, nil, "the store was damaged: its intact messages are kept\" stream=TELEMETRY messages_lost=0 files=1"},
		{"telemetry cannot be opened", func(t *testing.T, k *closedStore) {
			remove(t, k.path("TELEMETRY"))
			if err := os.WriteFile(k.path("TELEMETRY"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, nil, "a stream could not be opened: it begins empty"},
		{"how much there was is not known", func(t *testing.T, k *closedStore) {
			rewriteFile(t, filepath.Join(k.dir, "STATUS.end"), flipBit(0))
		}, nil, "a loss cannot be detected"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := newClosedStore(t, strings.Contains(tt.name, "two files"))
			tt.damage(t, k)
			var want []string
			for i, m := range k.status {
				if !slices.Contains(tt.gone, i) {
					want = append(want, m.ID)
				}
			}
			for start := range 2 {
				book, log := newTestLog()
				o := mustOpen(t, Config{Dir: k.dir, Log: log})
				got := testsupport.WaitForStored(t, o.js, "STATUS", 1)
				if slices.Contains(tt.gone, -1) { // one that the test cannot tell
					want = slices.DeleteFunc(want, func(id string) bool { return start == 0 && !slices.Contains(got, id) && len(want) > len(got) })
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("start %d: %s\n%s", start, diff, book)
				}
				lost := uint64(0)
				if start == 0 {
					lost = uint64(len(tt.gone))
				}
				if s := o.Stats(); s.Status.Lost != lost {
					t.Errorf("start %d: %d lost\n%s", start, s.Status.Lost, book)
				}
				if said := strings.Contains(book.String(), tt.words); said != (start == 0 || tt.words == "") {
					t.Errorf("start %d says:\n%s", start, book)
				}
				if start == 1 && book.String() != "" {
					t.Errorf("the second start says:\n%s", book)
				}
				m := messages(Status, 1001+start, 1001+start)
				mustPublish(t, o, append(m, messages(Telemetry, 1001+start, 1001+start)...))
				want = append(want, m[0].ID)
				mustClose(t, o)
			}
		})
	}
}

func TestWhatIsGoneIsCounted(t *testing.T) {
	for name, path := range map[string]string{"a file": "STATUS/msgs/1.blk", "the stream": "STATUS", "all streams": ""} {
		t.Run(name, func(t *testing.T) {
			k := newClosedStore(t, name == "a file")
			remove(t, k.path(path))
			book, log := newTestLog()
			o := mustOpen(t, Config{Dir: k.dir, Log: log})
			s := o.Stats().Status
			if s.Lost == 0 || s.Lost+s.Messages != uint64(len(k.status)) {
				t.Errorf("%+v\n%s", s, book)
			}
			book.WaitForLine(t, fmt.Sprintf(`"stored messages are lost" stream=STATUS lost=%d left=%d`, s.Lost, s.Messages))
		})
	}
}

// writeKey makes the server believe that a stream is encrypted, which it then removes.
func writeKey(t *testing.T, k *closedStore, stream string, sum []byte) []byte {
	t.Helper()
	if err := os.WriteFile(k.path(stream, "meta.key"), make([]byte, 100), 0o600); err != nil {
		t.Fatal(err)
	}
	return sum
}

// The embedded server removes what it cannot open.
func TestAStatusStreamThatCannotBeOpenedIsRefusedWithAWayOut(t *testing.T) {
	k := newClosedStore(t, false)
	writeKey(t, k, "STATUS", nil)
	_, err := openOutbox(testContext(t), Config{Dir: k.dir, Prefix: prefix, Log: slog.New(slog.DiscardHandler)}, quick)
	if err == nil || !strings.Contains(err.Error(), "open stream STATUS in "+k.path("STATUS")) || !strings.Contains(err.Error(), "move that directory away") {
		t.Errorf("error is %v", err)
	}
	remove(t, k.path("STATUS", "meta.key"))
	o := mustOpen(t, Config{Dir: k.dir})
	if s := o.Stats().Status; s.Lost != 0 || s.Messages != uint64(len(k.status)) {
		t.Errorf("then %+v", s)
	}
}

func TestADamagedCursorSendsAllAgain(t *testing.T) {
	k := newClosedStore(t, false)
	for _, text := range []string{"1000\n", "400 00000000\n", "", "x"} {
		if err := os.WriteFile(filepath.Join(k.dir, "STATUS.cursor"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		far := newFarSide(t, nil)
		nc, _ := testsupport.ConnectNATS(t, far.srv.ClientURL())
		sub, err := nc.SubscribeSync(prefix + ".agent.>")
		if err != nil {
			t.Fatal(err)
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
		book, log := newTestLog()
		o := mustOpen(t, Config{Dir: k.dir, Remote: far.remote(), Log: log})
		awaitMessages(t, sub, ids(k.status))
		book.WaitForLine(t, "the reader's position was damaged")
		mustClose(t, o)
	}
}

// TestAStoreDamagedAtRandomIsOpenedOrRefused damages files of a store. What was
// published is then there, whole, or counted as lost; and a second start is
// as after any other life.
func TestAStoreDamagedAtRandomIsOpenedOrRefused(t *testing.T) {
	k := newClosedStore(t, os.Getenv(roundsEnv) != "")
	seed := testsupport.EnvNumber(t, seedEnv, rand.Uint64())
	random := rand.New(rand.NewPCG(seed, 0))
	opened, lost, damages := 0, uint64(0), rounds(t, 12)
	for range damages {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(k.dir)); err != nil {
			t.Fatal(err)
		}
		what := damage(t, random, dir)
		book, log := newTestLog()
		o, err := openOutbox(testContext(t), Config{Prefix: prefix, Dir: dir, Log: log}, quick)
		if err != nil {
			if !strings.Contains(err.Error(), dir) {
				t.Errorf("seed %d, %s: %v", seed, what, err)
			}
			continue
		}
		opened++
		s := o.Stats().Status
		lost += s.Lost
		if known := !strings.Contains(what, "STATUS.end") && !strings.Contains(what, "STATUS.gaps"); known && s.Lost+s.Messages != uint64(len(k.status)) {
			t.Errorf("seed %d, %s: %+v\n%s", seed, what, s, book)
		}
		k.checkWhole(t, o, what)
		mustPublish(t, o, messages(Status, 2000, 2001))
		mustClose(t, o)
		again, log := newTestLog()
		o = mustOpen(t, Config{Dir: dir, Log: log})
		if now := o.Stats().Status; now.Lost != 0 || now.Messages != s.Messages+2 || again.String() != "" {
			t.Errorf("seed %d, %s, opened again: %+v\n%s", seed, what, now, again)
		}
		mustClose(t, o)
		remove(t, dir)
	}
	t.Logf("%d of %d stores opened, with %d messages lost", opened, damages, lost)
}

// damage does one to three things to files.
func damage(t *testing.T, random *rand.Rand, dir string) string {
	t.Helper()
	var files, did []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 1 + random.IntN(3) {
		path := files[random.IntN(len(files))]
		name, _ := filepath.Rel(dir, path)
		data, err := os.ReadFile(path)
		if err != nil || len(data) == 0 {
			continue
		}
		at := random.IntN(len(data))
		switch random.IntN(5) {
		case 0, 1:
			data[at] ^= 1 << random.IntN(8)
			name += " with a bit flipped"
		case 2:
			data = data[:at]
			name += " cut off"
		case 3:
			clear(data[at:min(len(data), at+1+random.IntN(100_000))])
			name += " with zeroes"
		case 4:
			for i := at; i < min(len(data), at+4096); i++ {
				data[i] = byte(random.Uint32())
			}
			name += " with garbage"
		}
		did = append(did, fmt.Sprintf("%s at %d", name, at))
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return strings.Join(did, ", ")
}

// checkWhole wants every message that is there to be as it was published.
func (k *closedStore) checkWhole(t *testing.T, o *Outbox, what string) {
	t.Helper()
	byID := map[string]Message{}
	for _, m := range k.status {
		byID[m.ID] = m
	}
	last := o.streams[Status].CachedInfo().State.LastSeq
	for seq := uint64(1); seq <= last; seq++ {
		m, err := o.streams[Status].GetMsg(testContext(t), seq)
		if err != nil {
			continue
		}
		if want := byID[m.Header.Get(jetstream.MsgIDHeader)]; want.Subject != m.Subject || !bytes.Equal(want.Data, m.Data) {
			t.Errorf("%s: message %d is %s %v %.40s", what, seq, m.Subject, m.Header, m.Data)
		}
	}
}
