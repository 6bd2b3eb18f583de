package listen

import (
	"testing"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

func TestOnlyAgentsWhoseLineChangedHaveToComeAgain(t *testing.T) {
	for _, c := range []struct {
		name, line string
		back       bool // it may come as before
	}{
		{"removed", "", false},
		{"with another key", "005 vpn any 9999\n", false},
		{"with another name, of which the key of AES does not know", "005 vpn2 any 5555555555555555\n", true},
		{"with a network that it is in", "005 vpn 127.0.0.0/8 5555555555555555\n", true},
		{"with an address that it is not at", "005 vpn 127.0.0.9 5555555555555555\n", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t)
			stays, goes := s.dial("tcp", "001", ""), s.dial("tcp", "005", "")
			s.greet(stays, 1)
			s.greet(goes, 5)
			s.link.SetKeys(readKeys(t, "001 web any 1111111111111111\n"+c.line))
			goes.dropped()
			s.expect(5, detector.SawClosed)
			stays.say(sayKeepAlive)
			stays.expect(hearAck)
			s.expect(1, detector.SawKeepAlive)
			again := s.dial("tcp", "005", "")
			if c.back {
				s.greet(again, 5)
				return
			}
			again.say(sayStartup)
			again.dropped()
			s.nothingMore()
		})
	}
}

func TestAnAgentOverUDPWhoseKeyChangedIsRefused(t *testing.T) {
	s := open(t)
	stays, goes := s.dial("udp", "001", ""), s.dial("udp", "005", "")
	s.greet(stays, 1)
	s.greet(goes, 5)
	s.link.SetKeys(readKeys(t, "001 web any 1111111111111111\n005 vpn any 9999\n"))
	if err := s.link.KeepAlive(5, 1); err != ErrNotConnected {
		t.Errorf("keep-alive: %v", err)
	}
	goes.say(sayKeepAlive)
	goes.unanswered()
	if n := s.refusals(wrongKey); n != 1 {
		t.Errorf("refused: %v", s.link.Stats().Refused)
	}
	stays.say(sayKeepAlive)
	stays.expect(hearAck)
	s.expect(1, detector.SawKeepAlive)
}

func TestANewAgentIsLetInAtOnce(t *testing.T) {
	s := open(t, func(c *Config) { c.Keys = readKeys(t, "") })
	a := s.dial("tcp", "001", "")
	a.say(sayStartup)
	a.dropped()
	s.link.SetKeys(readKeys(t, keyFile))
	s.greet(s.dial("tcp", "001", ""), 1)
}

// The connected agent keeps its key's line, not the whole reading it came from.
func TestAConnectedAgentLetsGoOfOldReadings(t *testing.T) {
	s := open(t)
	s.greet(s.dial("tcp", "001", ""), 1)
	keys := readKeys(t, keyFile)
	s.link.SetKeys(keys)
	if now, _ := keys.ByID([]byte("001")); s.link.registry.keyOf(s.link.registry.peerOf(1)) != now {
		t.Error("the peer holds the old reading")
	}
}
