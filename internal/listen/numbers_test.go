package listen

import (
	"bytes"
	"slices"
	"testing"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

// restart ends the link, and returns one as the next process opens it.
func (s *testLink) restart(orderly bool) *testLink {
	s.t.Helper()
	s.stop()
	saved := s.link.Numbers(orderly)
	next := openLink(s.t, func(c *Config) { c.Numbers = [][]byte{saved} })
	next.dialled = s.dialled
	return next
}

func TestACapturedShutdownIsIgnoredAfterARestartToo(t *testing.T) {
	for _, orderly := range []bool{true, false} {
		for _, network := range []string{"tcp", "udp"} {
			s := openLink(t)
			a := s.dialAgent(network, "001", "")
			s.startAgent(a, 1)
			captured := s.captureFrame(a, shutdownText, detector.SawShutdown)
			s.startAgent(a, 1)
			s = s.restart(orderly)
			s.replayFrame(network, captured)
			other := s.dialAgent("tcp", "005", "")
			s.pingUntil(other, func() bool { return s.countRefusals(staleCounter) > 0 })
			s.expectNoSighting()
			a = s.dialAgent(network, "001", "")
			s.startAgent(a, 1)
		}
	}
}

// The last messages before Pulse was killed are not among the numbers that it saved.
func TestAfterACrashANewerShutdownCountsOnceTheAgentHasAnswered(t *testing.T) {
	for _, network := range []string{"tcp", "udp"} {
		t.Run(network, func(t *testing.T) {
			s := openLink(t)
			a := s.dialAgent(network, "001", "")
			s.startAgent(a, 1)
			saved := s.link.Numbers(false)
			captured := s.captureFrame(a, shutdownText, detector.SawShutdown)
			s.stop()
			last := s
			s = openLink(t, func(c *Config) { c.Numbers = [][]byte{saved} })
			s.dialled = last.dialled
			s.replayFrame(network, captured)
			other := s.dialAgent("tcp", "006", "127.0.0.6")
			s.pingUntil(other, func() bool { return s.countRefusals(staleCounter) > 0 })
			if network == "tcp" { // its connection ends, as that of any agent that sends nothing
				s.stop()
				s.expectSighting(1, detector.SawClosed)
				s = openLink(t, func(c *Config) { c.Numbers = [][]byte{saved} })
				s.dialled = last.dialled + 1
			}
			s.expectNoSighting()
			for _, known := range []bool{true, false} { // agents that the process before has seen, and others
				id, who := "001", detector.AgentID(1)
				if !known {
					id, who = "005", 5
				}
				a = s.dialAgent(network, id, "")
				s.startAgent(a, who)
				token := a.receiveQuestion()
				a.send(shutdownText) // it may be a replay
				a.expectNoAnswer()
				s.expectNoSighting()
				a.sendAnswer(token)
				s.expectSighting(who, detector.SawAnswer)
				if network == "udp" {
					a.expectMessage("#!-req " + token + " ack")
				}
				a.send(shutdownText)
				s.expectSighting(who, detector.SawShutdown)
			}
		})
	}
}

func TestAnAgentThatNeverAnswersIsAskedThreeTimesAfterACrash(t *testing.T) {
	s := openLink(t)
	s.stop()
	saved := s.link.Numbers(false)
	s = openLink(t, func(c *Config) { c.Numbers = [][]byte{saved} })
	a := s.dialAgent("tcp", "001", "")
	s.startAgent(a, 1)
	a.receiveQuestion()
	for asked := 1; asked < maxQuestions+2; asked++ {
		a.send(keepAliveText)
		a.expectMessage(ackReply)
		s.expectSighting(1, detector.SawKeepAlive)
		if asked < maxQuestions {
			a.receiveQuestion()
		}
	}
	if n := s.link.Stats().Questions; n != maxQuestions {
		t.Errorf("%d questions", n)
	}
}

func TestDamagedNumbersAreRefusedAndEveryAgentIsAsked(t *testing.T) {
	s := openLink(t)
	s.startAgent(s.dialAgent("tcp", "001", ""), 1)
	s.stop()
	saved := s.link.Numbers(true)
	for i := range saved {
		if i == NumbersFinal {
			continue // it is written in place
		}
		damaged := bytes.Clone(saved)
		damaged[i] ^= 1
		if newRegistry(nil).restoreNumbers(damaged) == nil || newRegistry(nil).restoreNumbers(saved[:i]) == nil {
			t.Fatalf("byte %d is damaged, or the last one, and all is taken", i)
		}
	}
	s = openLink(t, func(c *Config) { c.Numbers = [][]byte{saved[:5]} })
	a := s.dialAgent("tcp", "001", "")
	s.startAgent(a, 1)
	a.receiveQuestion()
	if lines := s.log.linesWith("cannot be read"); len(lines) != 1 {
		t.Errorf("logged: %q", lines)
	}
}

func TestANewSecretBeginsANewHistory(t *testing.T) {
	r := newRegistry(readKeys(t, keyFile))
	for id := detector.AgentID(1); id < 7; id++ {
		r.historyOf(id).raiseHighestNumber(100)
	}
	r.setKeys(readKeys(t, "001 web2 any 1111111111111111\n005 vpn any 9999\n"))
	for id, want := range map[detector.AgentID]uint64{1: 100, 2: 100, 5: 0} { // 002 may come back
		if got := r.historyOf(id).highest; got != want {
			t.Errorf("agent %s: %d, want %d", id, got, want)
		}
	}
	for id := detector.AgentID(10); id < 10+2*maxFormerAgents; id++ {
		r.historyOf(id)
	}
	r.setKeys(readKeys(t, "001 web any 1111111111111111\n"))
	if n := len(r.histories); n != 1 || r.historyOf(1).highest != 100 {
		t.Errorf("%d histories are kept", n)
	}
}

func FuzzNumbers(f *testing.F) {
	r := newRegistry(nil)
	r.historyOf(1).raiseHighestNumber(secmsg.Counter{Global: 7, Local: 9}.Number())
	r.historyOf(99999999)
	for _, final := range []bool{true, false} {
		f.Add((&Link{registry: r}).Numbers(final))
	}
	f.Add([]byte(numbersMagic))
	f.Fuzz(func(t *testing.T, saved []byte) {
		r := newRegistry(nil)
		if err := r.restoreNumbers(saved); err != nil {
			if len(r.histories) > 0 {
				t.Fatal("something of it is taken")
			}
			return
		}
		again := (&Link{registry: r}).Numbers(saved[NumbersFinal] == 1)
		if len(r.histories) < 2 && saved[NumbersFinal] == 1 && !slices.Equal(again, saved) {
			t.Fatalf("%q is saved again as %q", saved, again)
		}
	})
}

func TestOfSeveralSavedNumbersTheHighestCount(t *testing.T) {
	older, newer := newRegistry(nil), newRegistry(nil)
	older.historyOf(1).raiseHighestNumber(7)
	older.historyOf(2).raiseHighestNumber(9)
	newer.historyOf(1).raiseHighestNumber(8)
	newer.historyOf(3).raiseHighestNumber(1)
	for _, inOrder := range []bool{true, false} {
		all := [][]byte{(&Link{registry: older}).Numbers(true), (&Link{registry: newer}).Numbers(false)}
		if !inOrder {
			slices.Reverse(all)
		}
		r := newRegistry(nil)
		for _, saved := range all {
			if err := r.restoreNumbers(saved); err != nil {
				t.Fatal(err)
			}
		}
		for id, want := range map[detector.AgentID]uint64{1: 8, 2: 9, 3: 1} {
			if h := r.historyOf(id); h.highest != want {
				t.Errorf("agent %s: %d, want %d", id, h.highest, want)
			}
		}
	}
}

func TestMessagesOfAnAgentThatCannotAnswerCountAsLongAsItsNumbersGrow(t *testing.T) {
	for _, network := range []string{"tcp", "udp"} {
		t.Run(network, func(t *testing.T) {
			s := openLink(t)
			for life := range 3 {
				for range 3 {
					a := s.dialAgent(network, "001", "")
					s.startAgent(a, 1)
					a.send(keepAliveText)
					a.expectMessage(ackReply)
					s.expectSighting(1, detector.SawKeepAlive)
					a.send(shutdownText)
					s.expectSighting(1, detector.SawShutdown)
					_ = a.conn.Close()
					if network == "tcp" {
						s.expectSighting(1, detector.SawClosed)
					}
				}
				if n := s.link.Stats().Questions; n != 0 {
					t.Errorf("life %d: %d questions", life, n)
				}
				s = s.restart(true)
			}
			a := s.dialAgent(network, "001", "")
			a.counter = secmsg.Counter{} // lost
			for range 3 {
				a.send(keepAliveText)
			}
			other := s.dialAgent("tcp", "005", "")
			s.pingUntil(other, func() bool { return s.countRefusals(staleCounter) >= 3 })
			s.expectNoSighting()
			a = s.dialAgent(network, "001", "")
			s.startAgent(a, 1)
		})
	}
}
