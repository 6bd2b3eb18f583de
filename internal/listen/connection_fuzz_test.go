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

// The actions of a script of FuzzConnections, by byte modulo their number.
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

// FuzzConnections runs connections of agent 005 with any frames, in pieces of any
// size, in any state of a connection. Nothing panics, another agent's connection still
// works, and no connection is left open.
func FuzzConnections(f *testing.F) {
	old := byte(sendsOld)
	f.Add([]byte{sendsStartup, writes, connectsAgain, old, old, old, writes, connectsAgain, old, writes})
	f.Add([]byte{sendsStartup, sendsKeepAlive, sendsEvent, writes, closes, sendsStartup, sendsLongEvent, writesCut, closes})
	f.Add([]byte{sendsStartup, writes, losesCounter, connectsAgain, sendsStartup, sendsLongEvent, sendsAnswer, sendsShutdown, writes})
	f.Add([]byte{old, old, writes, sendsAnswer, old, sendsKeepAlive, writesCut, connectsAgain, sendsPing, sendsOtherAgent, writes})
	f.Add([]byte{sendsDatagram, sendsStartup, sendsDatagram, connectsAgain, old, old, sendsAnswer, old, old, writes, sendsReceipt, sendsDatagram})
	s := &testLink{t: f, log: new(logRecorder)}
	link, err := Listen(Config{Addr: netip.MustParseAddrPort("127.0.0.1:0"), TCP: true, UDP: true, Method: detector.Request, Verify: true,
		Keys: readKeys(f, keyFile), Clock: detector.NewClock(), Report: func(detector.Sighting) {}, Log: slog.New(s.log)})
	if err != nil {
		f.Fatal(err)
	}
	s.link, link.registry.closeTimeout = link, 2*time.Millisecond
	s.start()
	living := s.dialAgent("tcp", "001", "")
	living.send(startupText)
	living.expectMessage(ackReply)
	f.Fuzz(func(t *testing.T, script []byte) {
		s.t, living.t = t, t
		p := newScriptRunner(s)
		for _, action := range script[:min(len(script), 64)] {
			p.runAction(int(action))
		}
		p.closeAll()
		living.send(keepAliveText)
		living.expectMessage(ackReply)
		s.pingUntil(living, func() bool { return link.Stats().Connections == 1 })
		if n := link.Stats().Panics; n != 0 {
			t.Fatalf("%d panics: %q", n, s.log.linesWith("panic"))
		}
	})
}

// scriptRunner runs the actions of a script.
type scriptRunner struct {
	s     *testLink
	a     *agent
	udp   *agent
	other *agent
	conns []net.Conn
	out   bytes.Buffer
	last  []byte
}

func newScriptRunner(s *testLink) *scriptRunner {
	p := &scriptRunner{s: s, udp: s.dialAgent("udp", "005", ""), other: agent001(s.t)}
	p.other.wireID = "003"
	p.connect(secmsg.Counter{Global: uint64(time.Now().UnixNano()) % 1_000_000_000})
	return p
}

func (p *scriptRunner) connect(n secmsg.Counter) {
	p.a = p.s.dialAgent("tcp", "005", "")
	p.a.counter = n
	p.conns = append(p.conns, p.a.conn)
	p.out.Reset()
}

func (p *scriptRunner) queueMessage(text string) {
	p.last = p.a.encodeFrame(text)
	p.out.Write(p.last)
}

func (p *scriptRunner) answerText(to net.Addr, rest string) string {
	from := to.(interface{ AddrPort() netip.AddrPort }).AddrPort()
	peer := &peer{id: 5, history: p.s.link.registry.historyOf(5)}
	return string(appendRequestPrefix(nil, p.s.link.questions.nextQuestionNumber(peer, from))) + rest
}

func (p *scriptRunner) runAction(action int) {
	switch cut := action / actions; action % actions {
	case sendsStartup:
		p.queueMessage(startupText)
	case sendsKeepAlive:
		p.queueMessage(keepAliveText)
	case sendsShutdown:
		p.queueMessage(shutdownText)
	case sendsEvent:
		p.queueMessage(eventText)
	case sendsLongEvent:
		p.queueMessage(eventText + string(randomText(20_000)))
	case sendsOld:
		p.out.Write(p.last)
	case sendsAnswer:
		p.queueMessage(p.answerText(p.a.conn.LocalAddr(), "{}"))
	case sendsReceipt:
		p.queueMessage(p.answerText(p.udp.conn.LocalAddr(), "ack"))
	case sendsOtherMethod:
		p.a.method ^= secmsg.Blowfish
		p.queueMessage(keepAliveText)
	case sendsOtherAgent:
		p.out.Write(p.other.encodeFrame(keepAliveText))
	case sendsPing:
		p.out.Write(addLength(ping))
	case sendsGarbage:
		p.out.Write(addLength(garbledFrame(106)))
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

func (p *scriptRunner) closeAll() {
	_, _ = p.a.conn.Write(p.out.Bytes())
	for _, c := range append(p.conns, p.udp.conn) {
		_ = c.Close()
	}
}
