package listen

import (
	"bytes"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

// What a script of FuzzConnections can do, by byte modulo the number of them.
const (
	sendsStartup = iota
	sendsKeepAlive
	sendsShutdown
	sendsEvent
	sendsLongEvent
	sendsOld         // a copy of what agent 005 has sent before
	sendsAnswer      // to the question that the connection would be asked now
	sendsReceipt     // the same, over UDP
	sendsOtherMethod // a keep-alive in Blowfish
	sendsOtherAgent  // a message of agent 003
	sendsPing
	sendsGarbage
	sendsOversized
	losesCounter // the next messages have lower numbers
	writes       // all that was sent so far goes out in one piece, whole or cut
	writesCut
	connectsAgain // a second connection, with the first still there
	closes        // the connection
	sendsDatagram // the last message, over UDP
	restarts      // the agent comes as a new one
	actions
)

// FuzzConnections plays connections of agent 005: any frames, in pieces of any
// size, in any state of a connection. Nothing panics, another agent's connection goes on,
// and no connection is left.
func FuzzConnections(f *testing.F) {
	old := byte(sendsOld)
	f.Add([]byte{sendsStartup, writes, connectsAgain, old, old, old, writes, connectsAgain, old, writes})
	f.Add([]byte{sendsStartup, sendsKeepAlive, sendsEvent, writes, closes, sendsStartup, sendsLongEvent, writesCut, closes})
	f.Add([]byte{sendsStartup, writes, losesCounter, connectsAgain, sendsStartup, sendsLongEvent, sendsAnswer, sendsShutdown, writes})
	f.Add([]byte{old, old, writes, sendsAnswer, old, sendsKeepAlive, writesCut, connectsAgain, sendsPing, sendsOtherAgent, writes})
	f.Add([]byte{sendsDatagram, sendsStartup, sendsDatagram, connectsAgain, old, old, sendsAnswer, old, old, writes, sendsReceipt, sendsDatagram})
	s := &station{t: f, log: new(logbook)}
	link, err := Listen(Config{Addr: netip.MustParseAddrPort("127.0.0.1:0"), TCP: true, UDP: true, Method: detector.Request, Verify: true,
		Keys: readKeys(f, keyFile), Clock: detector.NewClock(), Report: func(detector.Sighting) {}, Log: slog.New(s.log)})
	if err != nil {
		f.Fatal(err)
	}
	s.link, link.registry.closeTime = link, 2*time.Millisecond
	s.run()
	living := s.dial("tcp", "001", "")
	living.say(sayStartup)
	living.expect(hearAck)
	f.Fuzz(func(t *testing.T, script []byte) {
		s.t, living.t = t, t
		p := newPlayer(s)
		for _, action := range script[:min(len(script), 64)] {
			p.play(int(action))
		}
		p.end()
		living.say(sayKeepAlive)
		living.expect(hearAck)
		s.until(living, func() bool { return link.Stats().Connections == 1 })
		if n := link.Stats().Panics; n != 0 {
			t.Fatalf("%d panics: %q", n, s.log.about("panic"))
		}
	})
}

// player is who plays a script.
type player struct {
	s     *station
	a     *agent
	udp   *agent
	other *agent
	conns []net.Conn
	out   bytes.Buffer
	last  []byte
}

func newPlayer(s *station) *player {
	p := &player{s: s, udp: s.dial("udp", "005", ""), other: agent001(s.t)}
	p.other.wireID = "003"
	p.connect(secmsg.Counter{Global: uint64(time.Now().UnixNano()) % 1_000_000_000})
	return p
}

func (p *player) connect(n secmsg.Counter) {
	p.a = p.s.dial("tcp", "005", "")
	p.a.counter = n
	p.conns = append(p.conns, p.a.conn)
	p.out.Reset()
}

func (p *player) send(text string) {
	p.last = p.a.frame(text)
	p.out.Write(p.last)
}

func (p *player) answer(to net.Addr, rest string) string {
	from := to.(interface{ AddrPort() netip.AddrPort }).AddrPort()
	peer := &peer{id: 5, history: p.s.link.registry.historyOf(5)}
	return string(appendRequest(nil, p.s.link.questions.next(peer, from))) + rest
}

func (p *player) play(action int) {
	switch cut := action / actions; action % actions {
	case sendsStartup:
		p.send(sayStartup)
	case sendsKeepAlive:
		p.send(sayKeepAlive)
	case sendsShutdown:
		p.send(sayShutdown)
	case sendsEvent:
		p.send(sayEvent)
	case sendsLongEvent:
		p.send(sayEvent + string(noise(20_000)))
	case sendsOld:
		p.out.Write(p.last)
	case sendsAnswer:
		p.send(p.answer(p.a.conn.LocalAddr(), "{}"))
	case sendsReceipt:
		p.send(p.answer(p.udp.conn.LocalAddr(), "ack"))
	case sendsOtherMethod:
		p.a.method ^= secmsg.Blowfish
		p.send(sayKeepAlive)
	case sendsOtherAgent:
		p.out.Write(p.other.frame(sayKeepAlive))
	case sendsPing:
		p.out.Write(framed(ping))
	case sendsGarbage:
		p.out.Write(framed(garble(106)))
	case sendsOversized:
		p.out.WriteString(strings.Repeat("\xff", 4))
	case losesCounter:
		p.a.counter.Global /= 2
	case writes:
		_, _ = p.a.conn.Write(p.out.Bytes())
		p.out.Reset()
	case writesCut:
		_, _ = p.a.conn.Write(p.out.Next(p.out.Len() * (cut + 1) / 14))
	case connectsAgain:
		p.connect(p.a.counter)
	case closes:
		_ = p.a.conn.Close()
		p.connect(p.a.counter)
	case sendsDatagram:
		if len(p.last) > lengthSize {
			_, _ = p.udp.conn.Write(p.last[lengthSize:])
		}
	case restarts:
		p.connect(secmsg.Counter{Global: p.a.counter.Global + 1})
	}
}

func (p *player) end() {
	_, _ = p.a.conn.Write(p.out.Bytes())
	for _, c := range append(p.conns, p.udp.conn) {
		_ = c.Close()
	}
}
