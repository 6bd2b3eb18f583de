package listen

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

// The answers are those of a stock manager (its recordings, and a probe of it
// with odd messages); "" is none.
var conversation = []struct {
	name, says string
	kind       detector.Kind
	answer     string
}{
	{"an event before any startup", eventText, detector.SawEvent, ""},
	{"a startup", startupText, detector.SawStartup, ackReply},
	{"a startup of an old agent, without a version", "#!-agent startup ", detector.SawStartup, ackReply},
	{"a keep-alive", keepAliveText, detector.SawKeepAlive, ackReply},
	{"any unknown control message with a newline is a keep-alive", "#!-agent upgrade web 1795408128\n", detector.SawKeepAlive, ackReply},
	{"the same without a newline is only a sign of life", "#!-agent upgrade web 1795408128", detector.SawEvent, ""},
	{"an answer to a question nobody asked", "#!-req cafe ok unsolicited response", detector.SawEvent, ""},
	{"an answer without an answer", "#!-req cafe", detector.SawEvent, ""},
	{"an answer without anything", "#!-req ", detector.SawEvent, ""},
	{"nothing at all", "", detector.SawEvent, ""},
	{"a control message without a word", "#!-", detector.SawEvent, ""},
	{"an event of the size of a packet capture", eventText + string(make([]byte, 60000)), detector.SawEvent, ""},
	{"a shutdown", shutdownText, detector.SawShutdown, ""},
	{"a keep-alive after a shutdown, on the same connection", keepAliveText, detector.SawKeepAlive, ackReply},
}

func TestEveryMessageIsSeenAndAnsweredAsAManagerDoes(t *testing.T) {
	for _, network := range []string{"tcp", "udp"} {
		for _, method := range []secmsg.Method{secmsg.AES, secmsg.Blowfish} {
			t.Run(fmt.Sprintf("%s %v", network, method), func(t *testing.T) {
				s := openLink(t)
				a := s.dialAgent(network, "001", "")
				a.method = method
				for _, c := range conversation {
					a.send(c.says)
					if c.answer != "" {
						a.expectMessage(c.answer)
					}
					a.expectNoAnswer()
					s.expectSighting(1, c.kind)
				}
			})
		}
	}
}

func TestAnAgentsAddressIsTheOneItReports(t *testing.T) {
	for _, c := range []struct{ name, label, want string }{
		{"its own word counts, behind NAT too", "#\"_agent_ip\":10.7.7.7\n", "10.7.7.7"},
		{"IPv6", "#\"_agent_ip\":2001:db8::7\n", "2001:db8::7"},
		{"IPv4 written as IPv6", "#\"_agent_ip\":::ffff:10.7.7.7\n", "10.7.7.7"},
		{"without a word, where its messages come from", "", "127.0.0.1"},
		{"a nonsense word", "#\"_agent_ip\":here\n", "127.0.0.1"},
		{"no address", "#\"_agent_ip\":0.0.0.0\n", "127.0.0.1"},
		{"a zone of its own", "#\"_agent_ip\":fe80::1%eth0\n", "127.0.0.1"},
		{"a word longer than any address", "#\"_agent_ip\":" + string(make([]byte, 100)) + "\n", "127.0.0.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := openLink(t)
			a := s.dialAgent("tcp", "001", "")
			s.startAgent(a, 1)
			a.send(keepAliveText)
			if seen := s.expectSighting(1, detector.SawKeepAlive); seen.Addr != netip.MustParseAddr("10.7.7.7") {
				t.Fatalf("seen at %v", seen.Addr)
			}
			a.send("#!-Linux - Wazuh v4 / x\n" + c.label)
			if seen := s.expectSighting(1, detector.SawKeepAlive); seen.Addr.String() != c.want {
				t.Errorf("seen at %v, want %s", seen.Addr, c.want)
			}
		})
	}
}

func TestAgentsConnectHoweverTheyAreRegistered(t *testing.T) {
	for _, network := range []string{"tcp", "udp"} {
		for id, from := range map[string]string{"001": "", "002": "127.0.0.2", "003": "127.9.9.9", "006": "127.0.0.6"} {
			t.Run(network+" "+id, func(t *testing.T) {
				s := openLink(t)
				want, err := detector.ParseID(id)
				if err != nil {
					t.Fatal(err)
				}
				s.startAgent(s.dialAgent(network, id, from), want)
			})
		}
	}
}

func TestAnAgentMayChangeItsMethodBetweenMessages(t *testing.T) {
	for _, network := range []string{"tcp", "udp"} {
		t.Run(network, func(t *testing.T) {
			s := openLink(t)
			a := s.dialAgent(network, "001", "")
			s.startAgent(a, 1)
			for _, m := range []secmsg.Method{secmsg.Blowfish, secmsg.Blowfish, secmsg.AES, secmsg.Blowfish} {
				a.method = m
				a.send(keepAliveText)
				a.expectMessage(ackReply)
				s.expectSighting(1, detector.SawKeepAlive)
			}
		})
	}
}

// The address 127.0.0.2 is that of agent 002, but the connection is agent 003's.
func TestAMessageWithoutAnIDIsThatOfTheConnectionsAgent(t *testing.T) {
	s := openLink(t)
	a := s.dialAgent("tcp", "003", "127.0.0.2")
	s.startAgent(a, 3)
	a.wireID, a.method = "", secmsg.Blowfish
	a.send(keepAliveText)
	a.expectMessage(ackReply)
	s.expectSighting(3, detector.SawKeepAlive)
}

func TestKeepAlivesReachTheAgent(t *testing.T) {
	for _, c := range []struct {
		method detector.Method
		want   string
	}{
		{detector.Request, "#!-req 0000cafe agent getstate"},
		{detector.Ack, "#!-agent ack "},
	} {
		for _, network := range []string{"tcp", "udp"} {
			t.Run(network+" "+c.method.String(), func(t *testing.T) {
				s := openLink(t, func(cfg *Config) { cfg.Method = c.method })
				if err := s.link.KeepAlive(1, 1); err != ErrNotConnected {
					t.Errorf("before the agent came: %v", err)
				}
				a := s.dialAgent(network, "001", "")
				s.startAgent(a, 1)
				if err := s.link.KeepAlive(1, 0xcafe); err != nil {
					t.Fatal(err)
				}
				a.expectMessage(c.want)
				s.expectNoSighting()
			})
		}
	}
}

func TestTheLiteralKeepAliveNamesTheAgentAndTheTime(t *testing.T) {
	s := openLink(t, func(cfg *Config) { cfg.Method = detector.Notify })
	a := s.dialAgent("tcp", "001", "")
	s.startAgent(a, 1)
	before := time.Now().Unix()
	if err := s.link.KeepAlive(1, 7); err != nil {
		t.Fatal(err)
	}
	var at int64
	if got := a.receive(); !scanReceipt(got, "#!-agent keepalive web %d", &at) || at < before || at > time.Now().Unix() {
		t.Errorf("manager sent %q", got)
	}
}

func scanReceipt(s, format string, to ...any) bool {
	n, err := fmt.Sscanf(s, format, to...)
	return err == nil && n == len(to)
}

func TestAnAnswerIsSeenWithItsToken(t *testing.T) {
	s := openLink(t)
	a := s.dialAgent("tcp", "001", "")
	s.startAgent(a, 1)
	if err := s.link.KeepAlive(1, 0xcafe); err != nil {
		t.Fatal(err)
	}
	a.expectMessage("#!-req 0000cafe agent getstate")
	a.send(`#!-req 0000cafe {"error":0,"data":{"status":"connected"}}`)
	a.expectNoAnswer()
	if seen := s.expectSighting(1, detector.SawAnswer); seen.Token != 0xcafe {
		t.Errorf("token %x", seen.Token)
	}
}

func TestARequestOverUDPIsConfirmedInBothDirections(t *testing.T) {
	s := openLink(t)
	a := s.dialAgent("udp", "001", "")
	s.startAgent(a, 1)
	if err := s.link.KeepAlive(1, 0xcafe); err != nil {
		t.Fatal(err)
	}
	a.expectMessage("#!-req 0000cafe agent getstate")
	a.send("#!-req 0000cafe ack")
	s.expectSighting(1, detector.SawEvent)
	if n := len(s.link.takeDueRequests(time.Now().Add(repeatPeriod))); n != 0 {
		t.Errorf("a confirmed request is repeated")
	}
	answer := `#!-req 0000cafe {"error":0,"data":{"status":"connected"}}`
	for range 2 { // the agent repeats it, as if the first confirmation was lost
		a.send(answer)
		a.expectMessage("#!-req 0000cafe ack")
		if seen := s.expectSighting(1, detector.SawAnswer); seen.Token != 0xcafe {
			t.Errorf("token %x", seen.Token)
		}
	}
	a.expectNoAnswer()
}

func TestAnUnconfirmedRequestOverUDPIsSentFourTimes(t *testing.T) {
	t.Parallel()
	s := openLink(t)
	a := s.dialAgent("udp", "001", "")
	s.startAgent(a, 1)
	if err := s.link.KeepAlive(1, 0xcafe); err != nil {
		t.Fatal(err)
	}
	for range maxTries {
		a.expectMessage("#!-req 0000cafe agent getstate")
	}
	if n := len(s.link.takeDueRequests(time.Now().Add(repeatPeriod))); n != 0 {
		t.Errorf("%d requests are repeated once more", n)
	}
}

func TestAnAnswerEndsTheRepetitionToo(t *testing.T) {
	s := openLink(t)
	a := s.dialAgent("udp", "001", "")
	s.startAgent(a, 1)
	if err := s.link.KeepAlive(1, 1); err != nil {
		t.Fatal(err)
	}
	a.expectMessage("#!-req 00000001 agent getstate")
	a.send("#!-req 00000001 {}") // its confirmation was lost
	a.expectMessage("#!-req 00000001 ack")
	s.expectSighting(1, detector.SawAnswer)
	if n := len(s.link.takeDueRequests(time.Now().Add(repeatPeriod))); n != 0 {
		t.Errorf("an answered request is repeated")
	}
}

func TestARequestJustSentIsNotRepeatedYet(t *testing.T) {
	s := openLink(t)
	s.startAgent(s.dialAgent("udp", "001", ""), 1)
	if err := s.link.KeepAlive(1, 1); err != nil {
		t.Fatal(err)
	}
	if n := len(s.link.takeDueRequests(time.Now())); n != 0 {
		t.Errorf("repeated within the time of a round trip")
	}
}

// An agent behind NAT, or one that restarted, sends from another port.
func TestAnAgentOverUDPIsFollowedToItsNewAddress(t *testing.T) {
	s := openLink(t)
	s.startAgent(s.dialAgent("udp", "001", ""), 1)
	moved := s.dialAgent("udp", "001", "127.0.0.7")
	moved.send(keepAliveText)
	moved.expectMessage(ackReply)
	s.expectSighting(1, detector.SawKeepAlive)
	if err := s.link.KeepAlive(1, 1); err != nil {
		t.Fatal(err)
	}
	moved.expectMessage("#!-req 00000001 agent getstate")
	if n := s.link.Stats().Agents; n != 1 {
		t.Errorf("%d agents", n)
	}
}

func TestAnAgentMayGoFromUDPToTCP(t *testing.T) {
	s := openLink(t)
	s.startAgent(s.dialAgent("udp", "001", ""), 1)
	a := s.dialAgent("tcp", "001", "")
	s.startAgent(a, 1)
	if err := s.link.KeepAlive(1, 1); err != nil {
		t.Fatal(err)
	}
	a.expectMessage("#!-req 00000001 agent getstate")
}

func TestTheManagersCounterGrowsOverConnections(t *testing.T) {
	s := openLink(t)
	var last secmsg.Counter
	for range 3 {
		a := s.dialAgent("udp", "001", "")
		a.send(startupText)
		frame, err := a.readFrame()
		if err != nil {
			t.Fatal(err)
		}
		h, err := secmsg.ParseHeader(frame)
		if err != nil {
			t.Fatal(err)
		}
		var d secmsg.Decoder
		m, err := d.Decode(a.key.Cipher(h.Method), h.Body)
		if err != nil {
			t.Fatal(err)
		}
		if n := m.Counter; n.Global < last.Global || n.Global == last.Global && n.Local <= last.Local {
			t.Errorf("counter %v after %v", n, last)
		}
		last = m.Counter
	}
}

func TestPingsAreAnsweredBeforeAnAgentIsKnown(t *testing.T) {
	s := openLink(t)
	for _, network := range []string{"tcp", "udp"} {
		a := s.dialAgent(network, "001", "")
		a.expectNoAnswer()
		a.expectNoAnswer()
	}
	a := s.dialAgent("tcp", "001", "")
	a.writeRaw([]byte("\x0b\x00\x00\x00#ping hello"))
	a.expectMessage("#pong")
	if n := s.link.Stats().Pings; n != 5 {
		t.Errorf("%d pings", n)
	}
	s.expectNoSighting()
}

func TestAClosedConnectionIsSeen(t *testing.T) {
	s := openLink(t)
	a := s.dialAgent("tcp", "001", "")
	s.startAgent(a, 1)
	_ = a.conn.Close()
	s.expectSighting(1, detector.SawClosed)
	if err := s.link.KeepAlive(1, 1); err != ErrNotConnected {
		t.Errorf("keep-alive: %v", err)
	}
}

func TestFramesMayComeInAnyPieces(t *testing.T) {
	s := openLink(t)
	a := s.dialAgent("tcp", "001", "")
	s.startAgent(a, 1)
	big := eventText + string(make([]byte, 3000))
	for _, size := range []int{1, 3, 511, 512, 513, 1 << 20} {
		var all []byte
		for range 3 {
			all = append(all, a.encodeFrame(keepAliveText)...)
			all = append(all, a.encodeFrame(big)...)
			all = append(all, "\x05\x00\x00\x00#ping"...)
		}
		go func() {
			for rest := all; len(rest) > 0; {
				n := min(size, len(rest))
				if _, err := a.conn.Write(rest[:n]); err != nil {
					return
				}
				rest = rest[n:]
			}
		}()
		for range 3 {
			a.expectMessage(ackReply)
			s.expectSighting(1, detector.SawKeepAlive)
			s.expectSighting(1, detector.SawEvent)
			a.expectMessage("#pong")
		}
	}
}
