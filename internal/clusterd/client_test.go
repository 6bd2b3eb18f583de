package clusterd

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/wazuhsock"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recordedLine is a line of a recording of the socket.
type recordedLine struct {
	Direction string `json:"direction"`
	Hex       string `json:"hex"`
}

func (l recordedLine) decode(t testing.TB) []byte {
	b, err := hex.DecodeString(l.Hex)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readRecording(t testing.TB, name string) (lines []recordedLine) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		var l recordedLine
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, l)
	}
	return lines
}

// startServer serves one connection after the other as serve does, and returns a client.
func startServer(t *testing.T, serve func(net.Conn)) *Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "cd") // short enough for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	home := wazuhsock.Home(dir)
	if err := os.MkdirAll(home.Path("queue/cluster"), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", home.Path(wazuhsock.ClusterSocket))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serve(conn)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done; _ = os.RemoveAll(dir) })
	return NewClient(home, 5*time.Second)
}

// answerWith serves a connection with one frame.
func answerWith(command, payload string) func(net.Conn) {
	return func(conn net.Conn) {
		if f, err := readFrame(conn); err == nil {
			_, _ = conn.Write(appendFrame(nil, f.counter, command, []byte(payload)))
		}
	}
}

// Each byte but the counters is as the cluster's own program sent it, and clusterd answered.
func TestTheNodesAreAskedForAndAnsweredAsRecorded(t *testing.T) {
	lines := readRecording(t, "get_nodes.jsonl")
	asked := make(chan []byte, 2)
	c := startServer(t, func(conn net.Conn) {
		for _, l := range lines {
			b := l.decode(t)
			if l.Direction == "clusterd->client" {
				_, _ = conn.Write(b)
				continue
			}
			got := make([]byte, len(b))
			_, _ = io.ReadFull(conn, got)
			asked <- got
		}
	})
	nodes, err := c.ReadNodes(t.Context())
	want := []Node{{"node01", "master", "4.14.7"}, {"worker2", "worker", "4.14.7"}, {"worker1", "worker", "4.14.7"}}
	if err != nil || !slices.Equal(nodes, want) {
		t.Errorf("%v, %v", nodes, err)
	}
	for _, l := range lines {
		if l.Direction != "client->clusterd" {
			continue
		}
		if got, want := <-asked, l.decode(t); !bytes.Equal(got[4:], want[4:]) {
			t.Errorf("asked %q, recorded was %q", got, want)
		}
	}
}

func TestTheMastersRowsAreRead(t *testing.T) {
	requests := make(chan string, 1)
	c := startServer(t, func(conn net.Conn) {
		f, err := readFrame(conn)
		if err != nil {
			return
		}
		requests <- f.command + " " + string(f.payload)
		_, _ = conn.Write(appendFrame(nil, f.counter, "ok", []byte(`ok [{"i":1,"n":"w2","s":"active","k":1795889722},{"i":3,"n":"w1","s":"pending","k":17}]`)))
	})
	got, err := c.ReadLocations(t.Context(), []detector.AgentID{1, 2, 3})
	if want := []Location{{1, "w2", "active", 1795889722}, {3, "w1", "pending", 17}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if asked := <-requests; !strings.HasPrefix(asked, `sendsync {"daemon_name":"wazuh-db","message":"global sql SELECT `) || !strings.Contains(asked, "id IN (1,2,3)") {
		t.Errorf("asked %s", asked)
	}
	if n := c.CountRequests(); n != 1 {
		t.Errorf("%d requests", n)
	}
	if _, err := c.ReadLocations(t.Context(), make([]detector.AgentID, MaxIDs+1)); err == nil {
		t.Error("more agents than one frame has")
	}
}

func TestARefusalIsAnErrorThatSaysSo(t *testing.T) {
	for name, serve := range map[string]func(net.Conn){
		"of clusterd": answerWith("err", "Error 3023 - Worker node is not connected to master"),
		"of wazuh-db": answerWith("ok", "err Cannot execute SQL query; 3023"),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := startServer(t, serve).ReadLocations(t.Context(), []detector.AgentID{1})
			if _, refused := errors.AsType[RefusedError](err); !refused || !strings.Contains(err.Error(), "3023") {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestAnAnswerThatIsNoneIsAnError(t *testing.T) {
	for name, serve := range map[string]func(net.Conn){
		"no frame":         func(net.Conn) {},
		"too long a frame": func(conn net.Conn) { _, _ = conn.Write([]byte("\x00\x00\x00\x01\x7f\xff\xff\xffok ---------")) },
		"no rows":          answerWith("ok", "ok {}"),
		"a cut list":       answerWith("ok", `ok [{"i":1,`),
		"only other frames": func(conn net.Conn) {
			for range maxFrames {
				_, _ = conn.Write(appendFrame(nil, 1, "ok", []byte("Sent request to master node")))
			}
			_, _ = io.Copy(io.Discard, conn)
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := startServer(t, serve).ReadLocations(t.Context(), []detector.AgentID{1}); err == nil {
				t.Errorf("%v", got)
			}
		})
	}
}

func TestWhatNoManagerHasIsLeftOut(t *testing.T) {
	got, err := parseLocations([]byte(`ok [{"i":0},{"i":-5},{"i":99999999999},{"i":2,"n":"a\u0007b"},{"i":4,"n":"w1","s":"active","k":5}]`))
	if err != nil || len(got) != 1 || got[0].Agent != 4 {
		t.Errorf("%v, %v", got, err)
	}
	nodes, err := parseNodes([]byte(`{"items":[{"name":""},{"name":"` + strings.Repeat("x", 200) + `"},{"name":"w1","type":"worker"}]}`))
	if err != nil || len(nodes) != 1 {
		t.Errorf("%v, %v", nodes, err)
	}
}

func FuzzReadFrame(f *testing.F) {
	for _, l := range readRecording(f, "get_nodes.jsonl") {
		f.Add(l.decode(f))
	}
	f.Add(appendFrame(nil, 7, "ok", []byte(`ok [{"i":1,"n":"w2","s":"active","k":1}]`)))
	f.Add([]byte("\x00\x00\x00\x01\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := readFrame(bytes.NewReader(b))
		if err != nil {
			return
		}
		if len(got.payload) > maxPayload || len(got.payload) > len(b) || got.command == "" {
			t.Errorf("%+v", got)
		}
		locations, _ := parseLocations(got.payload)
		for _, l := range locations {
			if l.Agent < 1 || l.Agent > detector.MaxAgentID || len(l.Node) > maxNodeName {
				t.Errorf("%+v", l)
			}
		}
		if a, err := parseActivity(got.payload); err == nil && a.Silence < 0 {
			t.Errorf("%+v", a)
		}
		nodes, _ := parseNodes(got.payload)
		for _, n := range nodes {
			if n.Name == "" || len(n.Name) > maxNodeName {
				t.Errorf("%+v", n)
			}
		}
	})
}
