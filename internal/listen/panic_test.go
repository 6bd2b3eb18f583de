package listen

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// Of the frames behind the first, some are whole while the connection waits for
// the agent's other one to end.
func TestOneFrameManyTimesOnASecondConnectionEndsNothingElse(t *testing.T) {
	t.Parallel()
	for _, copies := range []int{1, 2, 3, 4, 8, 15, 16, 300} {
		t.Run(fmt.Sprint(copies), func(t *testing.T) {
			t.Parallel()
			s := prepareLink(t)
			s.link.registry.closeTimeout = 50 * time.Millisecond
			s.start()
			a, other := s.dialAgent("tcp", "001", ""), s.dialAgent("tcp", "005", "")
			s.startAgent(a, 1)
			s.startAgent(other, 5)
			captured := a.encodeFrame(keepAliveText)
			a.writeRaw(captured)
			a.expectMessage(ackReply)
			s.expectSighting(1, detector.SawKeepAlive)
			stranger := s.dialAgent("tcp", "001", "")
			_, _ = stranger.conn.Write(bytes.Repeat(captured, copies)) // the rest may not be taken any more
			stranger.expectMessage(ackReply)                           // and a question, which it cannot answer
			s.link.endOverdueConns(time.Now().Add(answerTimeout))
			for err := error(nil); err == nil; {
				_, err = stranger.readFrame()
			}
			for id, living := range map[detector.AgentID]*agent{1: a, 5: other} {
				living.send(keepAliveText)
				living.expectMessage(ackReply)
				s.expectSighting(id, detector.SawKeepAlive)
			}
			if n := s.link.Stats().Panics; n != 0 {
				t.Errorf("%d panics: %q", n, s.log.linesWith("panic"))
			}
		})
	}
}

func TestWhatAnAgentSendsWhileItsOldConnectionEndsIsHandledInOrder(t *testing.T) {
	t.Parallel()
	for _, frames := range []int{1, 2, 3, 50} {
		t.Run(fmt.Sprint(frames), func(t *testing.T) {
			t.Parallel()
			s := openLink(t)
			old := s.dialAgent("tcp", "001", "")
			s.startAgent(old, 1)
			next := s.dialAgent("tcp", "001", "")
			next.counter = old.counter
			var all []byte
			for range frames {
				all = append(all, next.encodeFrame(keepAliveText)...)
			}
			all = append(all, next.encodeFrame(shutdownText)...)
			next.writeRaw(all[:len(all)-5])
			s.pingUntil(old, func() bool { return s.isPaused(next) })
			_ = old.conn.Close()
			s.expectSighting(1, detector.SawClosed)
			for range frames {
				s.expectSighting(1, detector.SawKeepAlive)
			}
			next.writeRaw(all[len(all)-5:])
			s.expectSighting(1, detector.SawShutdown)
		})
	}
}

func TestAPanicWhileServingOnePeerEndsOnlyThatOne(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"tcp", "udp"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			s := openLink(t, func(c *Config) {
				report := c.Report
				c.Report = func(seen detector.Sighting) {
					if seen.ID == 5 && seen.Kind != detector.SawStartup {
						panic("a fault that nobody knows of")
					}
					report(seen)
				}
			})
			living := s.dialAgent(network, "001", "")
			s.startAgent(living, 1)
			for range 3 {
				a := s.dialAgent(network, "005", "")
				s.startAgent(a, 5)
				a.send(eventText)
				if network == "tcp" {
					a.expectClosed()
				} else {
					a.expectNoAnswer()
				}
				living.send(keepAliveText)
				living.expectMessage(ackReply)
				s.expectSighting(1, detector.SawKeepAlive)
			}
			want := int64(3)
			if network == "tcp" {
				want = 6 // each connection's end is reported, too
			}
			s.pingUntil(living, func() bool {
				now := s.link.Stats()
				return now.Panics >= want && (network == "udp" || now.Connections == 1)
			})
			lines := s.log.linesWith("a fault that nobody knows of")
			if len(lines) != 1 || !strings.Contains(lines[0], "panic_test.go") {
				t.Errorf("logged, want once with the stack: %q", lines)
			}
			if n := s.link.Stats().Panics; n != want {
				t.Errorf("%d panics", n)
			}
		})
	}
}

// isPaused reports whether an agent's connection waits for another one to end.
func (s *testLink) isPaused(a *agent) bool {
	p := s.link.poller
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.conns, func(c *conn) bool {
		return c != nil && c.paused && c.from.String() == a.conn.LocalAddr().String()
	})
}

// pingUntil waits for a condition, a round trip of an agent at a time.
func (s *testLink) pingUntil(a *agent, holds func() bool) {
	s.t.Helper()
	for late := time.Now().Add(patience); !holds(); {
		if time.Now().After(late) {
			s.t.Fatal("it never holds")
		}
		a.expectNoAnswer()
	}
}

func TestAPanicInTheRefusalCallbackEndsNothingElse(t *testing.T) {
	s := openLink(t, func(c *Config) { c.Refused = func(Refusal) { panic("nobody knows why") } })
	living := s.dialAgent("tcp", "001", "")
	s.startAgent(living, 1)
	for _, network := range []string{"tcp", "udp"} {
		stranger := s.dialAgent(network, "005", "")
		stranger.writeRaw(addLength([]byte("knock")))
	}
	s.pingUntil(living, func() bool { return s.link.Stats().Panics == 2 && s.link.Stats().Connections == 1 })
}
