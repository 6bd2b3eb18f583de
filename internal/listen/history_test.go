package listen

import (
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

// question returns the number of the question that the manager asks next.
func (a *agent) question() string {
	a.t.Helper()
	text := a.hear()
	token, asks := strings.CutPrefix(text, "#!-req ")
	token, state := strings.CutSuffix(token, " agent getstate")
	if !asks || !state || len(token) != 8 || token < "8" {
		a.t.Fatalf("manager says %q, want a question", text)
	}
	return token
}

func (a *agent) answer(token string) {
	a.t.Helper()
	a.say("#!-req " + token + ` {"error":0,"data":{"status":"connected"}}`)
}

// replay sends a frame from elsewhere, without a key, and returns who does so.
func (s *station) replay(network string, frame []byte) *agent {
	s.t.Helper()
	a := s.dial(network, "001", "")
	if network == "udp" {
		frame = frame[lengthSize:]
	}
	a.write(frame)
	return a
}

// capture returns a message of an agent that the link has had, with its length.
func (s *station) capture(a *agent, text string, kind detector.Kind) []byte {
	s.t.Helper()
	frame := a.frame(text)
	a.write(frame)
	if text != sayShutdown {
		a.expect(hearAck)
	}
	s.expect(1, kind)
	if !a.stream {
		frame = framed(frame)
	}
	return frame
}

func TestACapturedMessageProvesAndEndsNothing(t *testing.T) {
	t.Parallel()
	for _, agentBy := range []string{"tcp", "udp"} {
		for _, replayBy := range []string{"tcp", "udp"} {
			for text, kind := range map[string]detector.Kind{sayStartup: detector.SawStartup, sayKeepAlive: detector.SawKeepAlive, sayShutdown: detector.SawShutdown} {
				t.Run(agentBy+" "+replayBy+" "+text[:12], func(t *testing.T) {
					t.Parallel()
					s := prepare(t)
					s.link.registry.closeTime = time.Millisecond
					s.run()
					a := s.dial(agentBy, "001", "")
					s.greet(a, 1)
					captured := s.capture(a, text, kind)
					s.greet(a, 1)
					thief := s.replay(replayBy, captured)
					s.until(a, func() bool { return s.refusals(staleCounter)+s.refusals(keyInUse) > 0 })
					s.nothingMore()
					if err := s.link.KeepAlive(1, 7); err != nil {
						t.Fatalf("the living agent is gone: %v", err)
					}
					a.expect("#!-req 00000007 agent getstate")
					_ = thief.conn.Close()
					a.say(sayKeepAlive)
					a.expect(hearAck)
					s.expect(1, detector.SawKeepAlive)
				})
			}
		}
	}
}

func TestACapturedShutdownIsNoGoodbyeOfAKilledAgent(t *testing.T) {
	t.Parallel()
	for _, replayBy := range []string{"tcp", "udp"} {
		t.Run(replayBy, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			a, other := s.dial("tcp", "001", ""), s.dial("tcp", "005", "")
			s.greet(a, 1)
			s.greet(other, 5)
			captured := s.capture(a, sayShutdown, detector.SawShutdown)
			s.greet(a, 1)
			_ = a.conn.Close()
			s.expect(1, detector.SawClosed)
			for range 3 {
				thief := s.replay(replayBy, captured)
				s.until(other, func() bool { return s.refusals(staleCounter) > 0 })
				_ = thief.conn.Close()
			}
			s.nothingMore()
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
					s := open(t)
					old := s.dial(was, "001", "")
					old.counter.Global = 1000
					s.greet(old, 1)
					captured := s.capture(old, sayShutdown, detector.SawShutdown)
					s.greet(old, 1)
					_ = old.conn.Close()
					if was == "tcp" {
						s.expect(1, detector.SawClosed)
					}
					a := s.dial(network, "001", "")
					a.counter = lose(old.counter)
					a.say(sayStartup)
					a.expect(hearAck) // or it would not read on
					token := a.question()
					s.nothingMore()
					a.answer(token)
					if network == "udp" {
						a.expect("#!-req " + token + " ack")
					}
					s.expect(1, detector.SawStartup)
					s.expect(1, detector.SawAnswer)
					a.say(sayKeepAlive)
					a.expect(hearAck)
					s.expect(1, detector.SawKeepAlive)
					if p := s.link.Stats(); p.Questions != 1 || p.Proofs != 1 {
						t.Errorf("%d questions, %d proofs", p.Questions, p.Proofs)
					}
					// What was captured before has a higher number than the agent now.
					before := s.refusals(staleCounter)
					s.replay("udp", captured)
					s.until(a, func() bool { return s.refusals(staleCounter)+s.refusals(keyInUse) > before })
					s.nothingMore()
					a.say(sayShutdown)
					s.expect(1, detector.SawShutdown)
				})
			}
		}
	}
}

func TestTwoMachinesWithOneKeyKeepTheirAgentAlive(t *testing.T) {
	s := open(t)
	first := s.dial("udp", "001", "")
	s.greet(first, 1)
	second := s.dial("udp", "001", "")
	second.counter = first.counter // a copy of the machine
	for range 20 {
		for _, a := range []*agent{second, first} {
			a.say(sayKeepAlive)
			a.expect(hearAck)
			a.ping()
			if text := a.hear(); text != "#pong" { // its number was not new
				a.answer(strings.Fields(text)[1])
				a.expect("#pong")
				if confirmed := a.hear(); !strings.HasSuffix(confirmed, " ack") {
					t.Fatalf("manager says %q, want a confirmation", confirmed)
				}
				s.awaitKind(detector.SawAnswer)
			} else {
				s.awaitKind(detector.SawKeepAlive)
			}
		}
	}
}

// awaitKind waits until agent 001 is seen this way.
func (s *station) awaitKind(kind detector.Kind) {
	s.t.Helper()
	for late := time.After(patience); ; {
		select {
		case seen := <-s.saw:
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
			s := open(t)
			a := s.dial(network, "001", "")
			s.greet(a, 1)
			a.counter = secmsg.Counter{}
			a.say(sayKeepAlive)
			a.expect(hearAck)
			token := a.question()
			a.counter.Local = 5
			answer := a.frame("#!-req " + token + " {}")
			a.write(answer)
			s.expect(1, detector.SawAnswer)
			for range 100 {
				a.say(sayEvent)
				s.expect(1, detector.SawEvent)
			}
			a.write(answer)
			a.say(sayEvent)
			s.expect(1, detector.SawEvent)
			if n := s.refusals(staleCounter); n != 2 {
				t.Errorf("refused: %v", s.link.Stats().Refused)
			}
		})
	}
}

func TestSomebodyWhoDoesNotAnswerIsHeldForAWhileOnly(t *testing.T) {
	s := open(t)
	a := s.dial("tcp", "001", "")
	s.greet(a, 1)
	captured := s.capture(a, sayKeepAlive, detector.SawKeepAlive)
	_ = a.conn.Close()
	s.expect(1, detector.SawClosed)
	began := time.Now()
	thief := s.replay("tcp", captured)
	thief.read() //nolint:errcheck // an acknowledgement
	thief.read() //nolint:errcheck // a question
	for range 3 {
		thief.write(captured)
		thief.read() //nolint:errcheck // an acknowledgement, and no question so soon
	}
	if n := s.link.Stats().Questions; n > 1+int64(time.Since(began)/questionPeriod) {
		t.Errorf("asked %d times", n)
	}
	s.link.endLate(began.Add(answerTime - time.Second))
	thief.unanswered()
	s.link.endLate(time.Now().Add(answerTime))
	thief.dropped()
	s.nothingMore()
	if err := s.link.KeepAlive(1, 1); err != ErrNotConnected {
		t.Errorf("keep-alive: %v", err)
	}
}

// A stock agent sends what it has collected as soon as its startup is acknowledged.
func TestAnAgentThatHasToAnswerMaySendLongEvents(t *testing.T) {
	s := open(t)
	a := s.dial("tcp", "001", "")
	s.greet(a, 1)
	_ = a.conn.Close()
	s.expect(1, detector.SawClosed)
	a = s.dial("tcp", "001", "")
	a.counter = secmsg.Counter{}
	a.say(sayStartup)
	a.expect(hearAck)
	token := a.question()
	for range 50 {
		a.say(sayEvent + string(noise(60_000)))
	}
	a.answer(token)
	s.expect(1, detector.SawStartup)
	s.expect(1, detector.SawAnswer)
}

// noise does not shrink in a zlib stream.
func noise(size int) []byte {
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
			s := open(t)
			a := s.dial(network, "001", "")
			s.greet(a, 1)
			var frames [][]byte
			for range windowSize {
				frames = append(frames, a.frame(sayEvent))
			}
			for i := range frames {
				a.write(frames[len(frames)-1-i])
				s.expect(1, detector.SawEvent)
			}
			for _, frame := range frames { // each proves once
				a.write(frame)
			}
			a.unanswered()
			s.nothingMore()
			if n := s.refusals(staleCounter); n != windowSize {
				t.Errorf("%d refused", n)
			}
		})
	}
}

func TestWithoutVerificationOldMessagesCountAsBefore(t *testing.T) {
	s := open(t, func(c *Config) { c.Verify = false })
	a := s.dial("udp", "001", "")
	s.greet(a, 1)
	captured := s.capture(a, sayKeepAlive, detector.SawKeepAlive)
	s.replay("udp", captured)
	s.expect(1, detector.SawKeepAlive)
}

// The window does what a list of all that was seen does.
func FuzzWindow(f *testing.F) {
	f.Add([]byte{1, 2, 5, 3, 3, 200, 199, 130, 201})
	f.Fuzz(func(t *testing.T, steps []byte) {
		const first = 1000
		w, newest, seen := newWindow(first), uint64(first), map[uint64]bool{}
		for _, step := range steps {
			n := newest + uint64(step) - 100
			want := n > newest || n > first && newest-n < windowSize && !seen[n]
			if got := w.accept(n, ^uint64(0)); got != want {
				t.Fatalf("%d with %d as the newest: %v, want %v", n, newest, got, want)
			}
			if want {
				seen[n] = true
			}
			newest = max(newest, n)
		}
	})
}
