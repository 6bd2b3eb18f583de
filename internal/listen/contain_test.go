package listen

import (
	"bytes"
	"fmt"
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
			s := prepare(t)
			s.link.registry.closeTime = 50 * time.Millisecond
			s.run()
			a, other := s.dial("tcp", "001", ""), s.dial("tcp", "005", "")
			s.greet(a, 1)
			s.greet(other, 5)
			captured := a.frame(sayKeepAlive)
			a.write(captured)
			a.expect(hearAck)
			s.expect(1, detector.SawKeepAlive)
			stranger := s.dial("tcp", "001", "")
			_, _ = stranger.conn.Write(bytes.Repeat(captured, copies)) // the rest may not be taken any more
			stranger.dropped()
			for id, living := range map[detector.AgentID]*agent{1: a, 5: other} {
				living.say(sayKeepAlive)
				living.expect(hearAck)
				s.expect(id, detector.SawKeepAlive)
			}
			if n := s.link.Stats().Panics; n != 0 {
				t.Errorf("%d panics: %q", n, s.log.about("panic"))
			}
		})
	}
}

func TestWhatAnAgentSendsWhileItsOldConnectionEndsIsHeardInOrder(t *testing.T) {
	t.Parallel()
	for _, frames := range []int{1, 2, 3, 50} {
		t.Run(fmt.Sprint(frames), func(t *testing.T) {
			t.Parallel()
			s := open(t)
			old := s.dial("tcp", "001", "")
			s.greet(old, 1)
			next := s.dial("tcp", "001", "")
			next.counter = old.counter
			var all []byte
			for range frames {
				all = append(all, next.frame(sayKeepAlive)...)
			}
			all = append(all, next.frame(sayShutdown)...)
			next.write(all[:len(all)-5])
			s.until(old, func() bool { return s.paused(next) })
			_ = old.conn.Close()
			s.expect(1, detector.SawClosed)
			for range frames {
				s.expect(1, detector.SawKeepAlive)
			}
			next.write(all[len(all)-5:])
			s.expect(1, detector.SawShutdown)
		})
	}
}

func TestAPanicWhileServingOnePeerEndsOnlyThatOne(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"tcp", "udp"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			s := open(t, func(c *Config) {
				report := c.Report
				c.Report = func(seen detector.Sighting) {
					if seen.ID == 5 && seen.Kind != detector.SawStartup {
						panic("a fault that nobody knows of")
					}
					report(seen)
				}
			})
			living := s.dial(network, "001", "")
			s.greet(living, 1)
			for range 3 {
				a := s.dial(network, "005", "")
				s.greet(a, 5)
				a.say(sayEvent)
				if network == "tcp" {
					a.dropped()
				} else {
					a.unanswered()
				}
				living.say(sayKeepAlive)
				living.expect(hearAck)
				s.expect(1, detector.SawKeepAlive)
			}
			want := int64(3)
			if network == "tcp" {
				want = 6 // each connection's end is reported, too
			}
			s.until(living, func() bool {
				now := s.link.Stats()
				return now.Panics >= want && (network == "udp" || now.Connections == 1)
			})
			lines := s.log.about("a fault that nobody knows of")
			if len(lines) != 1 || !strings.Contains(lines[0], "contain_test.go") {
				t.Errorf("logged, want once with the stack: %q", lines)
			}
			if n := s.link.Stats().Panics; n != want {
				t.Errorf("%d panics", n)
			}
		})
	}
}

// paused reports whether an agent's connection waits for another one to end.
func (s *station) paused(a *agent) bool {
	for _, p := range s.link.pollers {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, c := range p.conns {
			if c != nil && c.paused && c.from.String() == a.conn.LocalAddr().String() {
				return true
			}
		}
	}
	return false
}

// until waits for a condition, a round trip of an agent at a time.
func (s *station) until(a *agent, holds func() bool) {
	s.t.Helper()
	for late := time.Now().Add(patience); !holds(); {
		if time.Now().After(late) {
			s.t.Fatal("it never holds")
		}
		a.unanswered()
	}
}

func TestAPanicInWhatIsToldOfRefusalsEndsNothingElse(t *testing.T) {
	s := open(t, func(c *Config) { c.Refused = func(Refusal) { panic("nobody knows why") } })
	living := s.dial("tcp", "001", "")
	s.greet(living, 1)
	for _, network := range []string{"tcp", "udp"} {
		stranger := s.dial(network, "005", "")
		stranger.write(framed([]byte("knock")))
	}
	s.until(living, func() bool { return s.link.Stats().Panics == 2 && s.link.Stats().Connections == 1 })
}
