package agentsim

import (
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

const (
	saysStartup   = `#!-agent startup {"version":"v4.14.7"}`
	saysStarted   = "1:wazuh-agent:ossec: Agent started: 'agent001->any'."
	saysShutdown  = "#!-agent shutdown "
	saysKeepAlive = "#!-Linux |"

	uname          = "#!-Linux |agent001 |6.1.0-44-amd64 |#1 SMP PREEMPT_DYNAMIC |x86_64 [Debian GNU/Linux|debian: 12 (bookworm)] - Wazuh v4.14.7"
	firstKeepAlive = uname + "\nx merged.mg\n#\"_agent_ip\":127.0.0.1\n"
	mergedSum      = "ca35f9148a3273413eccb79f149f4757"
	laterKeepAlive = uname + " / ab73af41699f13fdd81903b5f23d8d00\n" + mergedSum + " merged.mg\n#\"_agent_ip\":127.0.0.1\n"
)

func TestAnAgentTalksLikeTheRecordedOne(t *testing.T) {
	for _, c := range []struct {
		network string
		method  secmsg.Method
	}{{"tcp", secmsg.AES}, {"tcp", secmsg.Blowfish}, {"udp", secmsg.AES}, {"udp", secmsg.Blowfish}} {
		t.Run(c.network+" "+c.method.String(), func(t *testing.T) {
			m := newManager(t, 1)
			m.method = c.method
			listen := m.listen
			if c.network == "udp" {
				listen = m.listenUDP
			}
			addr := listen()
			cfg := m.config()
			cfg.Manager, cfg.Notify = addr, 50*time.Millisecond
			f := newFleet(t, cfg)
			start(t, f)
			for _, want := range []string{saysStartup, saysStarted, firstKeepAlive} {
				if got := m.next("001").text; got != want {
					t.Errorf("agent says %q, want %q", got, want)
				}
			}
			l := m.await("001", firstKeepAlive).from
			for _, text := range []string{
				"#!-up file " + mergedSum + " merged.mg\n", "#default\n!76 agent.conf\n<agent_config>\n", "#!-close file ",
			} {
				l.send(text)
			}
			if got := m.await("001", uname+" / ").text; got != laterKeepAlive {
				t.Errorf("after a shared file it says %q, want %q", got, laterKeepAlive)
			}
		})
	}
}

func TestAnAgentWithAnAddressOfItsOwnDoesNotSendItsID(t *testing.T) {
	m := newManager(t, 1)
	here, err := clientkeys.ParseAddress("127.0.0.1")
	must(t, err)
	k := m.keys["001"]
	k.IP = here
	m.keys["001"] = k
	cfg := m.config()
	cfg.Manager = m.listen()
	f := newFleet(t, cfg)
	start(t, f)
	m.await("001", "1:wazuh-agent:ossec: Agent started: 'agent001->127.0.0.1'.")
}

func TestRequestsAreAnsweredOverTCP(t *testing.T) {
	m := newManager(t, 1)
	cfg := m.config()
	cfg.Manager = m.listen()
	f := newFleet(t, cfg)
	start(t, f)
	l := m.await("001", saysStarted).from
	for question, want := range map[string]string{
		"agent getstate": `{"error":0,"data":{"status":"connected","last_keepalive":"","last_ack":"20`,
		"agent nonsense": "err Unrecognized command",
		"lab hello":      "err No such file or directory",
	} {
		l.send("#!-req ae308096 " + question)
		if got := m.next("001").text; !strings.HasPrefix(got, "#!-req ae308096 "+want) {
			t.Errorf("%s: answer %q, want %q", question, got, want)
		}
	}
	if s := f.Stats(); s.Requests != 3 || s.Unknown != 0 {
		t.Errorf("%d requests, %d unknown", s.Requests, s.Unknown)
	}
}

func TestRequestsAreConfirmedAndAnsweredOverUDP(t *testing.T) {
	m := newManager(t, 1)
	addr := m.listenUDP()
	cfg := m.config()
	cfg.Manager = addr
	f := newFleet(t, cfg)
	start(t, f)
	l := m.await("001", saysStarted).from
	l.send("#!-req abd6d8c6 agent getstate")
	for _, want := range []string{"#!-req abd6d8c6 ack", `#!-req abd6d8c6 {"error":0,`} {
		if got := m.next("001").text; !strings.HasPrefix(got, want) {
			t.Errorf("agent says %q, want %q", got, want)
		}
	}
	l.send("#!-req abd6d8c6 ack")
}

func TestWhatAnAgentDoesNotKnowIsCounted(t *testing.T) {
	m := newManager(t, 1)
	cfg := m.config()
	cfg.Manager = m.listen()
	f := newFleet(t, cfg)
	start(t, f)
	l := m.await("001", saysStarted).from
	for _, text := range []string{
		"#!-agent keepalive agent001 1795408128", "#!-", "hello", "#!-req", "#!-req x",
		"#!-up file " + mergedSum + " merged.mg\n", "#default\n", "#!-agent ack ", "!76 agent.conf\n", "#!-close file ",
		"#!-up file " + mergedSum + " merged.mg\n", "#default\n", "#!-agent keepalive agent001 1", "#!-close file ",
	} {
		l.send(text)
	}
	l.send("#!-req 1 agent getstate") // its answer comes after all earlier messages were handled
	m.await("001", "#!-req 1 ")
	s := f.Stats()
	if s.Notices != 2 || s.Unknown != 6 || s.Files != 1 || s.TornFiles != 1 || s.Acks != 1 {
		t.Errorf("got %+v", s)
	}
}

func TestAnUndecodableMessageIsSkipped(t *testing.T) {
	m := newManager(t, 1)
	cfg := m.config()
	cfg.Manager = m.listen()
	f := newFleet(t, cfg)
	start(t, f)
	l := m.await("001", saysStarted).from
	for _, bad := range []string{"\x0a\x00\x00\x00#AES:12345", "\x01\x00\x00\x00x", "\x00\x00\x00\x00"} {
		must(t, l.write([]byte(bad)))
	}
	l.send("#!-req 1 agent getstate")
	m.await("001", "#!-req 1 ")
	if n := f.Stats().Garbled; n != 3 {
		t.Errorf("%d garbled messages, want 3", n)
	}
	must(t, l.write([]byte("\xff\xff\xff\xff")))
	m.await("001", saysStartup) // a length over 65536 is a protocol error
}

func TestLongMessagesInSmallPiecesAreUnderstood(t *testing.T) {
	m := newManager(t, 1)
	cfg := m.config()
	cfg.Manager = m.listen()
	f := newFleet(t, cfg)
	start(t, f)
	l := m.await("001", saysStarted).from
	whole := l.write
	l.write = func(b []byte) error {
		for len(b) > 0 {
			n := min(len(b), 700)
			if err := whole(b[:n]); err != nil {
				return err
			}
			b = b[n:]
		}
		return nil
	}
	var noise strings.Builder // does not compress to nothing
	for i := range 10_000 {
		noise.WriteByte(byte('0' + i*i%77))
	}
	for _, size := range []int{600, 10_000, 10, 3000} {
		l.send("#!-up file " + noise.String()[:size])
	}
	l.send("#!-req 1 agent getstate")
	m.await("001", "#!-req 1 ")
	if s := f.Stats(); s.Garbled != 0 || s.Unknown != 0 || s.Requests != 1 {
		t.Errorf("got %+v", s)
	}
}
