package listen

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

// receiveQuestion returns the number of the question that the manager asks next.
func (a *agent) receiveQuestion() string {
	a.t.Helper()
	text := a.receive()
	token, asks := strings.CutPrefix(text, "#!-req ")
	token, state := strings.CutSuffix(token, " agent getstate")
	if !asks || !state || len(token) != 8 || token < "8" {
		a.t.Fatalf("manager sent %q, want a question", text)
	}
	return token
}

func (a *agent) sendAnswer(token string) {
	a.t.Helper()
	a.send("#!-req " + token + ` {"error":0,"data":{"status":"connected"}}`)
}

// replayFrame sends a captured frame from another address, and returns its sender.
func (s *testLink) replayFrame(network string, frame []byte) *agent {
	s.t.Helper()
	a := s.dialAgent(network, "001", "")
	if network == "udp" {
		frame = frame[lengthSize:]
	}
	a.writeRaw(frame)
	return a
}

// captureFrame sends a message of an agent and returns it with its length.
func (s *testLink) captureFrame(a *agent, text string, kind detector.Kind) []byte {
	s.t.Helper()
	frame := a.encodeFrame(text)
	a.writeRaw(frame)
	if text != shutdownText {
		a.expectMessage(ackReply)
	}
	s.expectSighting(1, kind)
	if !a.stream {
		frame = addLength(frame)
	}
	return frame
}

func TestACapturedMessageProvesAndEndsNothing(t *testing.T) {
	t.Parallel()
	for _, agentBy := range []string{"tcp", "udp"} {
		for _, replayBy := range []string{"tcp", "udp"} {
			for text, kind := range map[string]detector.Kind{startupText: detector.SawStartup, keepAliveText: detector.SawKeepAlive, shutdownText: detector.SawShutdown} {
				t.Run(agentBy+" "+replayBy+" "+text[:12], func(t *testing.T) {
					t.Parallel()
					s := prepareLink(t)
					s.link.registry.closeTimeout = time.Millisecond
					s.start()
					a := s.dialAgent(agentBy, "001", "")
					s.startAgent(a, 1)
					captured := s.captureFrame(a, text, kind)
					s.startAgent(a, 1)
					thief := s.replayFrame(replayBy, captured)
					s.pingUntil(a, func() bool { return s.countRefusals(staleCounter)+s.countRefusals(keyInUse) > 0 })
					s.expectNoSighting()
					if err := s.link.KeepAlive(1, 7); err != nil {
						t.Fatalf("the living agent is gone: %v", err)
					}
					a.expectMessage("#!-req 00000007 agent getstate")
					_ = thief.conn.Close()
					a.send(keepAliveText)
					a.expectMessage(ackReply)
					s.expectSighting(1, detector.SawKeepAlive)
				})
			}
		}
	}
}

// Both sides use one key: what the link sends decrypts as the agent's when it is sent back.
func TestWhatTheLinkSendsIsNoProofWhenItComesBack(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"tcp", "udp"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			s := openLink(t)
			a, other := s.dialAgent(network, "001", ""), s.dialAgent("tcp", "005", "")
			s.startAgent(other, 5)
			captured := s.captureFrame(a, keepAliveText, detector.SawKeepAlive)
			if network == "tcp" {
				_ = a.conn.Close()
				s.expectSighting(1, detector.SawClosed)
			}
			thief := s.replayFrame(network, captured)
			var sent [][]byte
			for len(sent) < 2 { // an acknowledgement, and a question
				frame, err := thief.readFrame()
				if err != nil {
					t.Fatal(err)
				}
				sent = append(sent, append([]byte("!001!"), frame...))
			}
			sent[0], sent[1] = sent[1], sent[0]
			for _, text := range []string{"#!-agent ack ", "#!-agent keepalive host 1795408128", "#!-req 00000001 agent getstate",
				"#!-req 00000001 ack", "#!-up file 00000000000000000000000000000000 merged.mg\n"} {
				thief.counter.Global = 90000 // a manager's counter may be ahead of the agent's
				frame := thief.encodeFrame(text)
				if network == "tcp" {
					frame = frame[lengthSize:]
				}
				sent = append(sent, frame)
			}
			for _, frame := range sent {
				if network == "udp" {
					thief.writeRaw(frame)
					continue
				}
				thief.writeRaw(addLength(frame))
				if _, err := thief.readFrame(); err == nil {
					t.Errorf("%q is answered", frame)
				}
				thief = s.dialAgent(network, "001", "") // each ends its connection
			}
			s.pingUntil(other, func() bool { return s.countRefusals(reflected) >= 6 })
			s.expectNoSighting()
			s.startAgent(s.dialAgent(network, "001", ""), 1) // its numbers did not rise
		})
	}
}

func TestACapturedShutdownIsIgnoredAfterTheAgentWasKilled(t *testing.T) {
	t.Parallel()
	for _, replayBy := range []string{"tcp", "udp"} {
		t.Run(replayBy, func(t *testing.T) {
			t.Parallel()
			s := openLink(t)
			a, other := s.dialAgent("tcp", "001", ""), s.dialAgent("tcp", "005", "")
			s.startAgent(a, 1)
			s.startAgent(other, 5)
			captured := s.captureFrame(a, shutdownText, detector.SawShutdown)
			s.startAgent(a, 1)
			_ = a.conn.Close()
			s.expectSighting(1, detector.SawClosed)
			for range 3 {
				thief := s.replayFrame(replayBy, captured)
				s.pingUntil(other, func() bool { return s.countRefusals(staleCounter) > 0 })
				_ = thief.conn.Close()
			}
			s.expectNoSighting()
			if n := s.link.Stats().Agents; n != 1 {
				t.Errorf("%d agents", n)
			}
		})
	}
}

// Reinstalled, restored from a backup, or a machine that is a copy: its numbers are
// lower than they were, or the same.
var losses = map[string]func(secmsg.Counter) secmsg.Counter{
	"reinstalled": func(secmsg.Counter) secmsg.Counter { return secmsg.Counter{} },
	"restored": func(n secmsg.Counter) secmsg.Counter {
		return secmsg.Counter{Global: n.Global - 1, Local: n.Local + 900}
	},
	"the last number is lost": func(n secmsg.Counter) secmsg.Counter { return secmsg.Counter{Global: n.Global, Local: n.Local - 1} },
}

func TestAnAgentThatLostItsCountersIsBackWithOneQuestion(t *testing.T) {
	t.Parallel()
	for name, lose := range losses {
		for _, was := range []string{"tcp", "udp"} {
			for _, network := range []string{"tcp", "udp"} {
				t.Run(name+" "+was+" "+network, func(t *testing.T) {
					t.Parallel()
					s := openLink(t)
					old := s.dialAgent(was, "001", "")
					old.counter.Global = 1000
					s.startAgent(old, 1)
					captured := s.captureFrame(old, shutdownText, detector.SawShutdown)
					s.startAgent(old, 1)
					_ = old.conn.Close()
					if was == "tcp" {
						s.expectSighting(1, detector.SawClosed)
					}
					a := s.dialAgent(network, "001", "")
					a.counter = lose(old.counter)
					a.send(startupText)
					a.expectMessage(ackReply) // or it would not read on
					token := a.receiveQuestion()
					s.expectNoSighting()
					a.sendAnswer(token)
					if network == "udp" {
						a.expectMessage("#!-req " + token + " ack")
					}
					s.expectSighting(1, detector.SawStartup)
					s.expectSighting(1, detector.SawAnswer)
					a.send(keepAliveText)
					a.expectMessage(ackReply)
					s.expectSighting(1, detector.SawKeepAlive)
					if p := s.link.Stats(); p.Questions != 1 || p.Proofs != 1 {
						t.Errorf("%d questions, %d proofs", p.Questions, p.Proofs)
					}
					// What was captured before has a higher number than the agent now.
					before := s.countRefusals(staleCounter)
					s.replayFrame("udp", captured)
					s.pingUntil(a, func() bool { return s.countRefusals(staleCounter)+s.countRefusals(keyInUse) > before })
					s.expectNoSighting()
					a.send(shutdownText)
					s.expectSighting(1, detector.SawShutdown)
				})
			}
		}
	}
}

func TestTwoMachinesWithOneKeyKeepTheirAgentAlive(t *testing.T) {
	s := openLink(t)
	first := s.dialAgent("udp", "001", "")
	s.startAgent(first, 1)
	second := s.dialAgent("udp", "001", "")
	second.counter = first.counter // a copy of the machine
	for range 20 {
		for _, a := range []*agent{second, first} {
			a.send(keepAliveText)
			a.expectMessage(ackReply)
			a.sendPing()
			if text := a.receive(); text != "#pong" { // its number was not new
				a.sendAnswer(strings.Fields(text)[1])
				a.expectMessage("#pong")
				if confirmed := a.receive(); !strings.HasSuffix(confirmed, " ack") {
					t.Fatalf("manager sent %q, want a confirmation", confirmed)
				}
				s.awaitKind(detector.SawAnswer)
			} else {
				s.awaitKind(detector.SawKeepAlive)
			}
		}
	}
}

// awaitKind waits until agent 001 is seen this way.
func (s *testLink) awaitKind(kind detector.Kind) {
	s.t.Helper()
	for late := time.After(patience); ; {
		select {
		case seen := <-s.sightings:
			if seen.Kind == kind {
				return
			}
		case <-late:
			s.t.Fatalf("kind %d is not seen", kind)
		}
	}
}

func TestAnAnswerProvesOnce(t *testing.T) {
	for _, network := range []string{"tcp", "udp"} {
		t.Run(network, func(t *testing.T) {
			s := openLink(t)
			a := s.dialAgent(network, "001", "")
			s.startAgent(a, 1)
			a.counter = secmsg.Counter{}
			a.send(keepAliveText)
			a.expectMessage(ackReply)
			token := a.receiveQuestion()
			a.counter.Local = 5
			answer := a.encodeFrame("#!-req " + token + " {}")
			a.writeRaw(answer)
			s.expectSighting(1, detector.SawAnswer)
			for range 100 {
				a.send(eventText)
				s.expectSighting(1, detector.SawEvent)
			}
			a.writeRaw(answer)
			a.send(eventText)
			s.expectSighting(1, detector.SawEvent)
			if n := s.countRefusals(staleCounter); n != 2 {
				t.Errorf("refused: %v", s.link.Stats().Refused)
			}
		})
	}
}

func TestAConnectionThatDoesNotAnswerIsOpenForALimitedTime(t *testing.T) {
	s := openLink(t)
	a := s.dialAgent("tcp", "001", "")
	s.startAgent(a, 1)
	captured := s.captureFrame(a, keepAliveText, detector.SawKeepAlive)
	_ = a.conn.Close()
	s.expectSighting(1, detector.SawClosed)
	began := time.Now()
	thief := s.replayFrame("tcp", captured)
	thief.readFrame() //nolint:errcheck // an acknowledgement
	thief.readFrame() //nolint:errcheck // a question
	for range 3 {
		thief.writeRaw(captured)
		thief.readFrame() //nolint:errcheck // an acknowledgement, and no question so soon
	}
	if n := s.link.Stats().Questions; n > 1+int64(time.Since(began)/questionPeriod) {
		t.Errorf("asked %d times", n)
	}
	s.link.endOverdueConns(began.Add(answerTimeout - time.Second))
	thief.expectNoAnswer()
	s.link.endOverdueConns(time.Now().Add(answerTimeout))
	thief.expectClosed()
	s.expectNoSighting()
	if err := s.link.KeepAlive(1, 1); err != ErrNotConnected {
		t.Errorf("keep-alive: %v", err)
	}
}

// A stock agent sends what it has collected as soon as its startup is acknowledged.
func TestAnAgentThatHasToAnswerMaySendLongEvents(t *testing.T) {
	s := openLink(t)
	a := s.dialAgent("tcp", "001", "")
	s.startAgent(a, 1)
	_ = a.conn.Close()
	s.expectSighting(1, detector.SawClosed)
	a = s.dialAgent("tcp", "001", "")
	a.counter = secmsg.Counter{}
	a.send(startupText)
	a.expectMessage(ackReply)
	token := a.receiveQuestion()
	for range 50 {
		a.send(eventText + string(randomText(60_000)))
	}
	a.sendAnswer(token)
	s.expectSighting(1, detector.SawStartup)
	s.expectSighting(1, detector.SawAnswer)
}

// randomText returns bytes that zlib does not compress.
func randomText(size int) []byte {
	b, x := make([]byte, size), uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

func TestMessagesMayOvertakeEachOtherALittle(t *testing.T) {
	for _, network := range []string{"tcp", "udp"} {
		t.Run(network, func(t *testing.T) {
			s := openLink(t)
			a := s.dialAgent(network, "001", "")
			s.startAgent(a, 1)
			var frames [][]byte
			for range windowSize {
				frames = append(frames, a.encodeFrame(eventText))
			}
			for i := range frames {
				a.writeRaw(frames[len(frames)-1-i])
				s.expectSighting(1, detector.SawEvent)
			}
			for _, frame := range frames { // each proves once
				a.writeRaw(frame)
			}
			a.expectNoAnswer()
			s.expectNoSighting()
			if n := s.countRefusals(staleCounter); n != windowSize {
				t.Errorf("%d refused", n)
			}
		})
	}
}

func TestWithoutVerificationOldMessagesCountAsBefore(t *testing.T) {
	s := openLink(t, func(c *Config) { c.Verify = false })
	a := s.dialAgent("udp", "001", "")
	s.startAgent(a, 1)
	captured := s.captureFrame(a, keepAliveText, detector.SawKeepAlive)
	s.replayFrame("udp", captured)
	s.expectSighting(1, detector.SawKeepAlive)
}

// The window does what a list of all that was seen does.
func FuzzWindow(f *testing.F) {
	f.Add([]byte{1, 2, 5, 3, 3, 200, 199, 130, 201})
	f.Fuzz(func(t *testing.T, steps []byte) {
		const first = 1000
		w, newest, seen := newCounterWindow(first), uint64(first), map[uint64]bool{}
		for _, step := range steps {
			n := newest + uint64(step) - 100
			want := n > newest || n > first && newest-n < windowSize && !seen[n]
			if got := w.addIfNew(n, ^uint64(0)); got != want {
				t.Fatalf("%d with %d as the newest: %v, want %v", n, newest, got, want)
			}
			if want {
				seen[n] = true
			}
			newest = max(newest, n)
		}
	})
}

func TestAnAgentsHistoryTakesFewBytes(t *testing.T) {
	const agents = 100_000
	r := newRegistry(readKeys(t, keyFile))
	memory := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := memory()
	for id := range detector.AgentID(agents) {
		r.historyOf(id + 1).raiseHighestNumber(1)
	}
	each := (memory() - before) / agents
	if t.Logf("%d bytes", each); each > 150 {
		t.Errorf("%d bytes for each agent", each)
	}
	runtime.KeepAlive(r)
}
