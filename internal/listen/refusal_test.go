package listen

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

// garbledFrame is a frame of that many bytes which begins like one of agent 001.
func garbledFrame(size int) []byte {
	frame := append([]byte("!001!#AES:"), bytes.Repeat([]byte("x"), size)...)
	return frame[:size]
}

func addLength(frame []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(frame))), frame...)
}

func TestStrangersAreRefused(t *testing.T) {
	for _, c := range []struct {
		name    string
		who     string // whose key
		from    string
		spoil   func(a *agent) []byte // what is sent, without its length
		why     refusal
		tcpOnly bool
	}{
		{name: "an id that nobody has", who: "001", why: unknownAgent, spoil: as("555")},
		{name: "an id too short", who: "001", why: unknownAgent, spoil: as("1")},
		{name: "an id too long", who: "001", why: notOurs, spoil: func(*agent) []byte { return []byte("!123456789!#AES:abcdefghijklmnop") }},
		{name: "no id, from an address nobody is registered at", who: "001", from: "127.0.0.9", why: unknownAgent, spoil: as("")},
		{name: "another agent's key", who: "005", why: wrongKey, spoil: as("001")},
		{name: "an id at an address it is not registered at", who: "004", from: "127.0.0.4", why: wrongAddress, spoil: as("004")},
		{name: "a network's agent from outside the network", who: "006", from: "127.0.0.7", why: wrongAddress, spoil: as("006")},
		{name: "a registered address with a wrong key", who: "001", from: "127.0.0.2", why: wrongKey, spoil: as("")},
		{name: "nothing", who: "001", why: notOurs, spoil: func(*agent) []byte { return nil }},
		{name: "a TLS client", who: "001", why: notOurs, spoil: func(*agent) []byte { return []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03") }},
		{name: "garbage that begins well", who: "001", why: wrongKey, spoil: func(*agent) []byte { return garbledFrame(106) }},
		{name: "garbage in Blowfish", who: "001", why: wrongKey, spoil: func(*agent) []byte { return []byte("!001!:12345678") }},
		{name: "half blocks", who: "001", why: wrongKey, spoil: func(*agent) []byte { return garbledFrame(107) }},
		{name: "a message cut short", who: "001", why: wrongKey, spoil: func(a *agent) []byte { b := a.encodeFrame(startupText)[4:]; return b[:len(b)-16] }},
		{name: "a first message longer than any startup", who: "001", why: oversized, spoil: func(*agent) []byte { return garbledFrame(strangerLimit + 1) }, tcpOnly: true},
		{name: "a bomb", who: "001", why: oversized, spoil: func(a *agent) []byte { return a.bomb() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := openLink(t)
			a := s.dialAgent("tcp", c.who, c.from)
			frame := c.spoil(a)
			a.writeRaw(addLength(frame))
			a.expectClosed()
			if n := s.countRefusals(c.why); n != 1 {
				t.Errorf("TCP: refused: %v", s.link.Stats().Refused)
			}
			if !c.tcpOnly {
				u := s.dialAgent("udp", c.who, c.from)
				u.writeRaw(frame)
				u.expectNoAnswer()
				if n := s.countRefusals(c.why); n != 2 {
					t.Errorf("UDP: refused: %v", s.link.Stats().Refused)
				}
			}
			s.expectNoSighting()
			if n := s.link.Stats().Agents; n != 0 {
				t.Errorf("%d agents", n)
			}
		})
	}
}

// as returns a startup under an id that may not be the agent's own.
func as(id string) func(*agent) []byte {
	return func(a *agent) []byte { a.wireID = id; return a.encodeFrame(startupText)[4:] }
}

// bomb is a small frame that inflates to more than a message may have.
func (a *agent) bomb() []byte {
	a.t.Helper()
	key, _ := readKeys(a.t, keyFile).ByID([]byte("001"))
	return zlibFrame(key, bytes.Repeat([]byte{'a'}, 1<<20))
}

func TestAnAgentIsRefusedWhatNoAgentDoes(t *testing.T) {
	for _, c := range []struct {
		name  string
		sends func(a *agent) []byte
		why   refusal
	}{
		{"another agent's id on its connection", func(a *agent) []byte { a.wireID = "005"; return a.encodeFrame(keepAliveText) }, anotherAgent},
		{"garbage", func(*agent) []byte { return addLength(garbledFrame(106)) }, wrongKey},
		{"garbage in its other method", func(*agent) []byte { return addLength([]byte("!001!:12345678")) }, wrongKey},
		{"clear text", func(*agent) []byte { return addLength([]byte(keepAliveText)) }, notOurs},
		{"one byte more than a message may have", func(*agent) []byte { return addLength(garbledFrame(secmsg.MaxMessage + 1)) }, oversized},
		{"a length of 4 GiB", func(*agent) []byte { return []byte("\xff\xff\xff\xffabc") }, oversized},
		{"a bomb", func(a *agent) []byte { return addLength(a.bomb()) }, oversized},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := openLink(t)
			a := s.dialAgent("tcp", "001", "")
			s.startAgent(a, 1)
			_, _ = a.conn.Write(c.sends(a)) // all of it may not be taken any more
			a.expectClosed()
			s.expectSighting(1, detector.SawClosed)
			if n := s.countRefusals(c.why); n != 1 {
				t.Errorf("refused: %v", s.link.Stats().Refused)
			}
		})
	}
}

func TestTheLongestFrameIsRead(t *testing.T) {
	s := openLink(t)
	a := s.dialAgent("tcp", "001", "")
	s.startAgent(a, 1)
	a.writeRaw(addLength(garbledFrame(secmsg.MaxMessage)))
	a.expectClosed()
	if n := s.countRefusals(wrongKey); n != 1 {
		t.Errorf("refused: %v", s.link.Stats().Refused)
	}
}

func TestAConnectionCutWithinAFrameIsRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		size int // of the frame, of which half is sent
	}{{"a short one", 100}, {"a long one", 5000}} {
		t.Run(c.name, func(t *testing.T) {
			s := openLink(t)
			a := s.dialAgent("tcp", "001", "")
			s.startAgent(a, 1)
			a.writeRaw(addLength(garbledFrame(c.size))[:c.size/2])
			_ = a.conn.Close()
			s.expectSighting(1, detector.SawClosed)
			if n := s.countRefusals(notOurs); n != 1 {
				t.Errorf("refused: %v", s.link.Stats().Refused)
			}
		})
	}
}

func TestAConnectionThatSendsNothingIsNoRefusal(t *testing.T) {
	s := openLink(t)
	a := s.dialAgent("tcp", "001", "")
	a.expectNoAnswer()
	_ = a.conn.Close()
	s.startAgent(s.dialAgent("tcp", "001", ""), 1)
	for why, n := range s.link.Stats().Refused {
		if n != 0 {
			t.Errorf("%s: %d", why, n)
		}
	}
}

func TestASecondConnectionOfALiveAgentIsRefused(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"tcp", "udp"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			s := openLink(t)
			a := s.dialAgent("tcp", "001", "")
			s.startAgent(a, 1)
			b := s.dialAgent(network, "001", "")
			b.send(startupText)
			if network == "tcp" {
				b.expectClosed()
			} else {
				b.expectNoAnswer()
			}
			if n := s.countRefusals(keyInUse); n != 1 {
				t.Errorf("refused: %v", s.link.Stats().Refused)
			}
			s.expectNoSighting()
			a.send(keepAliveText)
			a.expectMessage(ackReply)
		})
	}
}

// An agent that loses its connection is back within a tenth of a second, and
// the manager may get to read the new connection before it sees that the old
// one has ended.
func TestAnAgentThatReconnectsAtOnceIsAccepted(t *testing.T) {
	s := openLink(t)
	old := s.dialAgent("tcp", "001", "")
	for range 300 {
		s.startAgent(old, 1)
		next := s.dialAgent("tcp", "001", "") // before the old one ends
		next.counter = old.counter
		_ = old.conn.Close()
		old = next
		s.expectAnyOrder(t, old)
	}
	if n := s.countRefusals(keyInUse); n != 0 {
		t.Errorf("refused %d times", n)
	}
}

// expectAnyOrder lets the successor in: the end of the old connection is always
// reported before its first word.
func (s *testLink) expectAnyOrder(t *testing.T, next *agent) {
	t.Helper()
	next.send(keepAliveText)
	s.expectSighting(1, detector.SawClosed)
	next.expectMessage(ackReply)
	s.expectSighting(1, detector.SawKeepAlive)
}

func TestAThousandRefusalsAreLoggedOnce(t *testing.T) {
	s := openLink(t)
	a := s.dialAgent("udp", "001", "")
	for range 1000 {
		a.writeRaw([]byte("knock knock"))
		a.expectNoAnswer() // so that none is lost
	}
	a.writeRaw(garbledFrame(106))
	a.expectNoAnswer()
	if n := s.countRefusals(notOurs); n != 1000 {
		t.Errorf("%d refusals counted", n)
	}
	if lines := s.log.linesWith("garbled"); len(lines) != 1 || !strings.Contains(lines[0], "peer=127.0.0.1:") {
		t.Errorf("logged: %q", lines)
	}
	if lines := s.log.linesWith("wrong_key"); len(lines) != 1 {
		t.Errorf("logged: %q", lines)
	}
}

func TestRefusalsAreLoggedOnceAMinuteWithTheirNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(logRecorder)
		limited := &rateLimitedLog{Logger: slog.New(log)}
		for range 100 {
			limited.logRefusal(netip.AddrPort{}, &refusalError{why: wrongKey, err: errors.New("no")})
			time.Sleep(time.Second)
		}
		want := []string{"others_since_last=0", "others_since_last=59"}
		lines := log.linesWith("refused a peer")
		if len(lines) != len(want) || !strings.HasSuffix(lines[0], want[0]) || !strings.HasSuffix(lines[1], want[1]) {
			t.Errorf("logged: %q", lines)
		}
	})
}

func TestMoreConnectionsThanTheLimitAreRefused(t *testing.T) {
	s := prepareLink(t)
	s.link.limit = 3
	s.start()
	for id, from := range map[detector.AgentID]string{1: "", 3: "", 5: ""} {
		s.startAgent(s.dialAgent("tcp", id.String(), from), id)
	}
	s.dialAgent("tcp", "001", "").expectClosed()
	if n := s.countRefusals(tooMany); n != 1 {
		t.Errorf("refused: %v", s.link.Stats().Refused)
	}
	if lines := s.log.linesWith("LimitNOFILE"); len(lines) != 1 {
		t.Errorf("logged: %q", lines)
	}
}

func TestAPortInUseIsAnErrorThatSaysSo(t *testing.T) {
	s := openLink(t)
	for _, c := range []struct {
		tcp, udp bool
		want     string
	}{{true, false, "/tcp: address already in use"}, {false, true, "/udp: address already in use"}} {
		_, err := Listen(Config{Addr: s.link.Addr(), TCP: c.tcp, UDP: c.udp, Keys: readKeys(t, keyFile)})
		if want := fmt.Sprintf("listen for agents on %v%s", s.link.Addr(), c.want); err == nil || err.Error() != want {
			t.Errorf("error %q, want %q", err, want)
		}
	}
}

func TestRunEndsAtOnceAndClosesEveryConnection(t *testing.T) {
	s := openLink(t)
	a, stranger := s.dialAgent("tcp", "001", ""), s.dialAgent("tcp", "005", "")
	s.startAgent(a, 1)
	stranger.expectNoAnswer()
	s.stop()
	a.expectClosed()
	stranger.expectClosed()
	s.expectSighting(1, detector.SawClosed)
	if n := s.link.Stats().Connections; n != 0 {
		t.Errorf("%d connections", n)
	}
	if err := s.link.KeepAlive(1, 1); err == nil {
		t.Error("a keep-alive went out after the end")
	}
}

func TestALinkThatNeverRanCloses(t *testing.T) {
	l, err := Listen(Config{Addr: netip.MustParseAddrPort("127.0.0.1:0"), TCP: true, UDP: true, Keys: readKeys(t, keyFile)})
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	again, err := Listen(Config{Addr: l.Addr(), TCP: true, UDP: true, Keys: readKeys(t, keyFile)})
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

func TestAllAddressesOfIPv4AreNotThoseOfIPv6(t *testing.T) {
	s := openLink(t, func(c *Config) { c.Addr = netip.MustParseAddrPort("0.0.0.0:0") })
	if a := s.link.Addr(); a.Addr() != netip.IPv4Unspecified() {
		t.Errorf("listens on %v", a)
	}
	for _, network := range []string{"tcp", "udp"} {
		if conn, err := s.connectIPv6(network); err == nil {
			t.Errorf("%s: reached over IPv6", network)
			_ = conn
		}
	}
}

func TestARunThatIsCancelledBeforehandEnds(t *testing.T) {
	l, err := Listen(Config{Addr: netip.MustParseAddrPort("127.0.0.1:0"), TCP: true, UDP: true, Keys: readKeys(t, keyFile)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l.Run(ctx)
}
