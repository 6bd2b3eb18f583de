package managersim

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

// line is one line of a recording of a socket: what was written to it, and
// what came back, each with its length before it.
type line struct {
	Desc     string `json:"desc"`
	Time     string `json:"time"`
	Request  string `json:"request_hex"`
	Asked    string `json:"request_payload"`
	Response string `json:"response_hex"`
	Answered string `json:"response_payload"`
	End      string `json:"end"`
}

func recorded(t *testing.T, name string) (all []line) {
	t.Helper()
	file, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for s := json.NewDecoder(bufio.NewReader(file)); ; {
		var l line
		if err := s.Decode(&l); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
}

// at is the recording's time, which the manager is to take for the present.
func (l line) at() int64 {
	seconds, _, _ := strings.Cut(l.Time, ".")
	n, _ := strconv.ParseInt(seconds, 10, 64)
	return n
}

func recordedKeys(t *testing.T) (keys []clientkeys.Key) {
	t.Helper()
	set, problems, err := clientkeys.ReadFile("testdata/client.keys")
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	return set.Keys()
}

// replay writes a line's request and compares all that comes back, byte by
// byte, after normalise has taken out of both what is not the same twice.
func replay(t *testing.T, m *Manager, socket string, l line, normalise func(string) string) {
	t.Helper()
	request, err := hex.DecodeString(l.Request)
	if err != nil {
		t.Fatal(err)
	}
	want, err := hex.DecodeString(l.Response)
	if err != nil {
		t.Fatal(err)
	}
	conn := dial(t, m, socket)
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write(request); err != nil {
		t.Fatal(err)
	}
	switch {
	case strings.HasPrefix(l.End, "timeout"):
		_ = conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		if n, err := conn.Read(make([]byte, 1)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%d bytes came, and %v; recorded was silence", n, err)
		}
		return
	case len(want) == 0:
		if got, err := io.ReadAll(conn); len(got) > 0 || err != nil {
			t.Errorf("got %q, %v; recorded was the end of the connection", got, err)
		}
		return
	}
	var got []byte
	for buf := make([]byte, maxFrame); ; {
		n, err := conn.Read(buf)
		got = append(got, buf[:n]...)
		if err != nil || n > 0 && whole(got, len(want)) {
			break
		}
	}
	if normalise != nil {
		got, want = []byte(normalise(string(got[4:]))), []byte(normalise(string(want[4:])))
	}
	if string(got) != string(want) {
		t.Errorf("asked %q\n got %q\nwant %q", l.Asked, got, want)
	}
}

// whole reports whether there is an answer, and as much as was recorded if it
// has several frames.
func whole(b []byte, recorded int) bool {
	n := 0
	for len(b) >= 4 {
		size := 4 + int(uint32(b[0])|uint32(b[1])<<8|uint32(b[2])<<16|uint32(b[3])<<24)
		if len(b) < size {
			return false
		}
		due := strings.HasPrefix(string(b[4:size]), "due {")
		b = b[size:]
		if n++; !due {
			return len(b) == 0
		}
	}
	return false
}

var numbers = regexp.MustCompile(`:\d+`)

// anyNumber is for statistics: what was counted before the recording is not known.
func anyNumber(text string) string { return numbers.ReplaceAllString(text, ":N") }

// played plays all lines of a recording.
func played(t *testing.T, m *Manager, socket string, lines []line, normalise func(line) func(string) string) {
	t.Helper()
	for i, l := range lines {
		t.Run(fmt.Sprintf("line %d %.60s", i+1, l.Asked), func(t *testing.T) { replay(t, m, socket, l, normalise(l)) })
	}
}

func exactly(line) func(string) string { return nil }

// seed writes the agents that the answers of the recording contain.
func seed(t *testing.T, m *Manager, answers ...string) {
	t.Helper()
	for _, text := range answers {
		for _, part := range strings.Split(text, "due ") { // each a row, followed by the next frame's length
			part = strings.TrimPrefix(part, "ok ")
			var rows []map[string]any
			if !strings.HasPrefix(part, "[") {
				part = "[" + part[:strings.LastIndex(part, "}")+1] + "]"
			}
			if err := json.NewDecoder(strings.NewReader(part)).Decode(&rows); err != nil {
				t.Fatalf("%q: %v", part, err)
			}
			for _, row := range rows {
				for column, value := range row {
					if err := m.Exec(fmt.Sprintf("UPDATE agent SET %q = ? WHERE id = ?", column), value, row["id"]); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
}

// do runs commands that made the world as it was before a recording.
func do(t *testing.T, m *Manager, commands ...string) {
	t.Helper()
	for _, c := range commands {
		if _, err := m.store.runCommand(c); err != nil {
			t.Fatalf("%s: %v", c, err)
		}
	}
}

func TestEveryReadOfWazuhDBIsAnsweredAsRecorded(t *testing.T) {
	lines := recorded(t, "wazuh-db-readonly.jsonl")
	m := start(t, Config{Keys: recordedKeys(t), Now: lines[0].at})
	do(t, m, `set-agent-groups {"mode":"append","sync_status":"synced","data":[{"id":1,"groups":["default"]},{"id":4,"groups":["default"]}]}`)
	if err := m.store.setLabels(1, "#\"_agent_ip\":127.0.0.1\n#\"_manager_hostname\":vm\n#\"_node_name\":node01\n#\"_wazuh_version\":Wazuh v4.14.7"); err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		if whole := strings.HasPrefix(l.Asked, "global get-agent-info ") || strings.HasPrefix(l.Asked, "global sql SELECT id,") ||
			l.Asked == "global get-all-agents context"; whole && strings.ContainsAny(l.Answered, "{") {
			seed(t, m, l.Answered)
		}
	}
	played(t, m, "queue/db/wdb", lines, exactly)
}

func TestEveryChangeInWazuhDBIsAnsweredAsRecorded(t *testing.T) {
	lines := recorded(t, "wazuh-db-mutating.jsonl")
	m := start(t, Config{Keys: recordedKeys(t), Now: lines[0].at})
	seed(t, m, lines[0].Answered) // the first line is about agent 009
	do(t, m, `set-agent-groups {"mode":"append","sync_status":"synced","data":[{"id":1,"groups":["default"]}]}`)
	for _, change := range []string{ // agents 001 to 005 had been seen before, and date_add is that of the day
		`UPDATE agent SET date_add = (SELECT date_add FROM agent WHERE id = 9)`,
		`UPDATE agent SET connection_status = 'active', last_keepalive = 1795408040 WHERE id IN (1, 3, 5)`,
		`UPDATE agent SET connection_status = 'disconnected', last_keepalive = 1795408020 WHERE id IN (2, 4)`,
	} {
		if err := m.Exec(change); err != nil {
			t.Fatal(err)
		}
	}
	played(t, m, "queue/db/wdb", lines, func(l line) func(string) string {
		if strings.HasPrefix(l.Asked, "{") {
			return anyNumber
		}
		return nil
	})
}

// actor is an agent that answers what it was recorded to answer, and nothing else.
type actor struct {
	conn    net.Conn
	answers map[string]string // by question
	cipher  *secmsg.Cipher
	key     clientkeys.Key
	sent    secmsg.Counter
}

// enact connects an agent and waits until it is registered.
func enact(t *testing.T, m *Manager, key clientkeys.Key, answers map[string]string) *actor {
	t.Helper()
	conn, err := net.Dial("tcp", m.AgentAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	a := &actor{conn: conn, answers: answers, key: key, cipher: secmsg.NewKey(key.ID, key.Name, key.Secret).Cipher(secmsg.AES)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.play()
	}()
	t.Cleanup(func() { _ = conn.Close(); <-done })
	if err := a.say(`#!-agent startup {"version":"v4.14.7"}`); err != nil {
		t.Fatal(err)
	}
	until(t, m, "pending", func() bool { return status(t, m, int(parseID(key.ID))).Status == "pending" })
	return a
}

func (a *actor) say(text string) error {
	a.sent.Next()
	wire, err := new(secmsg.Encoder).AppendToManager(secmsg.BeginFrame(nil), a.key.ID, a.cipher, a.sent, []byte(text))
	if err != nil {
		return err
	}
	secmsg.EndFrame(wire, 0)
	_, err = a.conn.Write(wire)
	return err
}

func (a *actor) play() {
	for {
		frame, err := readFrame(a.conn)
		if err != nil {
			return
		}
		h, err := secmsg.ParseHeader(frame)
		if err != nil {
			return
		}
		m, err := new(secmsg.Decoder).Decode(a.cipher, h.Body)
		if err != nil {
			return
		}
		request, is := strings.CutPrefix(string(m.Payload), "#!-req ")
		counter, question, _ := strings.Cut(request, " ")
		if text, knows := a.answers[question]; is && knows {
			if a.say("#!-req "+counter+" "+text) != nil {
				return
			}
		}
	}
}

func TestEveryRequestToAnAgentIsAnsweredAsRecorded(t *testing.T) {
	lines := append(recorded(t, "remoted-requests.jsonl"), recorded(t, "remoted-requests-slow.jsonl")...)
	keys := recordedKeys(t)
	m := start(t, Config{Keys: keys, ResponseTimeout: 500 * time.Millisecond})
	answers := make(map[string]string)
	for _, l := range lines {
		question, is := strings.CutPrefix(l.Asked, "001 ")
		if is && l.Answered != "" && l.Answered != "err Response timeout" {
			answers[question] = l.Answered
		}
	}
	enact(t, m, keys[0], answers)
	enact(t, m, keys[4], nil) // 005 was stopped: it sends nothing
	played(t, m, "queue/sockets/remote", lines, exactly)
}

func TestEveryCommandOfRemotedIsAnsweredAsRecorded(t *testing.T) {
	lines := recorded(t, "remoted-com.jsonl")
	keys := recordedKeys(t)
	m := start(t, Config{Keys: keys})
	for _, i := range []int{0, 1, 3, 4} { // the agents that were connected then
		enact(t, m, keys[i], nil)
	}
	port := fmt.Sprintf(`"port":"%d"`, m.AgentAddr().Port())
	played(t, m, "queue/sockets/remote", lines, func(l line) func(string) string {
		switch {
		case strings.Contains(l.Asked, "stats"):
			return anyNumber
		case strings.Contains(l.Asked, `"remote"`): // the test has any free port
			return func(text string) string { return strings.Replace(text, port, `"port":"1514"`, 1) }
		}
		return nil
	})
}
