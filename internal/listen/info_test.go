package listen

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/agentinfo"
	"github.com/wazuh-pulse/pulse/internal/detector"
)

// keepAliveOf returns a keep-alive whose first line is as given.
func keepAliveOf(line string) string {
	return controlPrefix + line + "\nx merged.mg\n#\"_agent_ip\":127.0.0.1\n"
}

// infoRecorder records what a link passes on, before the sighting of the same message.
type infoRecorder struct{ all chan detector.Info }

func (r *infoRecorder) use(c *Config) {
	r.all = make(chan detector.Info, 1<<10)
	c.SetInfo = func(_ detector.AgentID, info detector.Info) { r.all <- info }
}

// expectInfos fails unless exactly these were passed on.
func (r *infoRecorder) expectInfos(t *testing.T, want ...detector.Info) {
	t.Helper()
	for _, want := range want {
		select {
		case got := <-r.all:
			if got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		default:
			t.Errorf("nothing, want %+v", want)
		}
	}
	if n := len(r.all); n > 0 {
		t.Errorf("%d more: %+v", n, <-r.all)
	}
}

func TestWhatAnAgentSendsOfItselfIsPassedOnWhenItChanges(t *testing.T) {
	var r infoRecorder
	s := openLink(t, r.use)
	ubuntu := detector.Info{OSName: "Ubuntu", OSVersion: "22.04", Version: "v4.7.0"}
	for network, id := range map[string]string{"tcp": "001", "udp": "005"} {
		a := s.dialAgent(network, id, "")
		keepAlive := keepAliveOf("Linux |host |5.15 |#1 SMP |x86_64 [Ubuntu|ubuntu: 22.04 (Jammy)] - Wazuh v4.7.0 / ab73af41699f13fdd81903b5f23d8d00")
		a.send(startupText)
		a.expectMessage(ackReply)
		r.expectInfos(t)
		for range 3 {
			a.send(keepAlive)
			a.expectMessage(ackReply)
		}
		r.expectInfos(t, ubuntu)
		_ = a.conn.Close()
	}
}

// An agent that sends another text each time has it read once a second at most, and the
// last one in the end.
func TestAnAgentThatChangesItsTextAllTheTimeIsReadOnceASecond(t *testing.T) {
	line := func(i int) []byte { return []byte("text " + strings.Repeat("x", i)) }
	var info peerInfo
	read := 0
	for i := range 100 {
		if info.isChanged(line(i), detector.Instant(i)*detector.Instant(100*time.Millisecond)) {
			read++
		}
	}
	if read != 10 {
		t.Errorf("read %d times in 10 s", read)
	}
	if at := detector.Instant(11 * time.Second); !info.isChanged(line(99), at) || info.isChanged(line(99), at.Add(time.Hour)) {
		t.Error("the last text is not read once")
	}
}

// A message that may be a recording says nothing of the agent.
func TestNothingIsReadFromAMessageThatMayBeOld(t *testing.T) {
	var r infoRecorder
	s := openLink(t, func(c *Config) { r.use(c); c.Unsure = true })
	a := s.dialAgent("tcp", "001", "")
	a.send(keepAliveText)
	a.expectMessage(ackReply)
	token := a.receiveQuestion()
	r.expectInfos(t)
	a.sendAnswer(token)
	a.send(keepAliveText)
	a.expectMessage(ackReply)
	line, _, _ := strings.Cut(strings.TrimPrefix(keepAliveText, controlPrefix), "\n")
	r.expectInfos(t, agentinfo.ParseKeepAlive(line))
}

func TestTheInfoOfRecordedAgentsIsThatOfTheirManagersDatabase(t *testing.T) {
	want := detector.Info{OSName: "Debian GNU/Linux", OSVersion: "12", Version: "v4.14.7"}
	n := 0
	for _, name := range []string{"tcp-aes.jsonl", "tcp-blowfish.jsonl", "tcp-and-udp-aes.jsonl"} {
		for _, r := range readRecording(t, name) {
			if line, ok := strings.CutPrefix(r.Text, controlPrefix); ok && r.Direction == "agent->manager" && strings.Contains(r.Text, "merged.mg\n") {
				if n++; agentinfo.ParseKeepAlive(line) != want {
					t.Errorf("%q: %+v", r.Text, agentinfo.ParseKeepAlive(line))
				}
			}
		}
	}
	if n < 10 {
		t.Errorf("only %d keep-alives", n)
	}
	queries, err := os.ReadFile("../managersim/testdata/wazuh-db-readonly.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for _, stored := range []string{`\"os_name\":\"Debian GNU/Linux\",\"os_version\":\"12\"`, `\"version\":\"Wazuh v4.14.7\"`} {
		if !bytes.Contains(queries, []byte(stored)) && !bytes.Contains(queries, []byte(strings.ReplaceAll(stored, `\"`, `\\\"`))) {
			t.Errorf("the recorded database does not have %s", stored)
		}
	}
}

// BenchmarkUnchangedInfo measures what a keep-alive with the same first line as the one
// before costs more than without its info.
func BenchmarkUnchangedInfo(b *testing.B) {
	l := &Link{setInfo: func(detector.AgentID, detector.Info) {}}
	p, text := &peer{id: 1}, []byte(keepAliveText)
	b.ReportAllocs()
	for b.Loop() {
		l.updateInfo(p, 0, text)
	}
}
