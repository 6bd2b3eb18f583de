package listen

import (
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

// newQuietPeer returns a peer like that of a connection, without a connection.
func newQuietPeer(t *testing.T, r *registry, id string, overTCP bool, seen detector.Instant) *peer {
	t.Helper()
	key, ok := r.keys.ByID([]byte(id))
	if !ok {
		t.Fatalf("no agent %s", id)
	}
	var c *conn
	if overTCP {
		c = new(conn)
	}
	p, err := newPeer(key, c, netip.AddrPort{}, newCipher(key, secmsg.AES))
	if err != nil {
		t.Fatal(err)
	}
	p.history = new(history)
	p.lastSeen.Store(int64(seen))
	return p
}

func clockAt(now detector.Instant) func() detector.Instant {
	return func() detector.Instant { return now }
}

func isRefused(err error, why refusal) bool {
	r, ok := errors.AsType[*refusalError](err)
	return ok && r.why == why
}

func TestASilentConnectionIsTakenOver(t *testing.T) {
	start := detector.Instant(time.Hour)
	for _, c := range []struct {
		silence time.Duration
		over    bool
	}{{0, false}, {59 * time.Second, false}, {overtakeTimeout - 1, false}, {overtakeTimeout, true}, {time.Hour, true}} {
		t.Run(c.silence.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRegistry(readKeys(t, keyFile))
				first, second := newQuietPeer(t, r, "001", true, start), newQuietPeer(t, r, "001", true, start)
				if _, err := r.addPeer(first, start); err != nil {
					t.Fatal(err)
				}
				old, err := r.addPeerWhenFree(second, clockAt(start.Add(c.silence)))
				if c.over && (err != nil || old != first || r.peerOf(1) != second) {
					t.Errorf("not taken over: %v", err)
				}
				if !c.over && (!isRefused(err, keyInUse) || r.peerOf(1) != first) {
					t.Errorf("taken over: %v", err)
				}
				if c.over {
					r.removePeer(first, func() { t.Error("the end of a connection that was replaced is reported") })
					if r.peerOf(1) != second {
						t.Error("the old connection took the new one along")
					}
				}
			})
		})
	}
}

func TestASecondConnectionWaitsForTheFirstToEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry(readKeys(t, keyFile))
		first, second := newQuietPeer(t, r, "001", true, 0), newQuietPeer(t, r, "001", true, 0)
		if _, err := r.addPeer(first, 0); err != nil {
			t.Fatal(err)
		}
		reported := false
		time.AfterFunc(closeTimeout/2, func() { r.removePeer(first, func() { reported = true }) })
		if old, err := r.addPeerWhenFree(second, clockAt(0)); err != nil || old != nil || !reported {
			t.Errorf("%v, %v, end of the first reported: %v", old, err, reported)
		}
	})
}

func TestASecondConnectionWaitsAsLongAsTheEndOfTheFirstIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry(readKeys(t, keyFile))
		first, second := newQuietPeer(t, r, "001", true, 0), newQuietPeer(t, r, "001", true, 0)
		if _, err := r.addPeer(first, 0); err != nil {
			t.Fatal(err)
		}
		reported := false
		go r.removePeer(first, func() { time.Sleep(time.Minute); reported = true }) // a busy detector
		synctest.Wait()
		if _, err := r.addPeerWhenFree(second, clockAt(0)); err != nil || !reported || r.peerOf(1) != second {
			t.Errorf("%v, end of the first reported: %v", err, reported)
		}
	})
}

func TestDatagramsDoNotWaitForAConnectionToEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry(readKeys(t, keyFile))
		if _, err := r.addPeer(newQuietPeer(t, r, "001", true, 0), 0); err != nil {
			t.Fatal(err)
		}
		before := time.Now()
		if _, err := r.addPeerWhenFree(newQuietPeer(t, r, "001", false, 0), clockAt(0)); !isRefused(err, keyInUse) || time.Since(before) != 0 {
			t.Errorf("%v after %v", err, time.Since(before))
		}
	})
}

func TestRemovingAPeerKeepsItsSuccessor(t *testing.T) {
	r := newRegistry(readKeys(t, keyFile))
	old, next := newQuietPeer(t, r, "001", false, 0), newQuietPeer(t, r, "001", true, 0)
	if _, err := r.addPeer(old, 0); err != nil {
		t.Fatal(err)
	}
	r.removePeer(old, func() {
		if _, err := r.addPeer(next, 0); err != nil {
			t.Error(err)
		}
	})
	if r.peerOf(1) != next {
		t.Error("the successor is gone")
	}
}

func TestAKeyThatIsNoLongerValidIsRefused(t *testing.T) {
	r := newRegistry(readKeys(t, keyFile))
	p := newQuietPeer(t, r, "001", true, 0)
	r.setKeys(readKeys(t, "001 web any ffff\n"))
	if _, err := r.addPeer(p, 0); !isRefused(err, unknownAgent) {
		t.Errorf("entered: %v", err)
	}
}

func TestOnlyAgentsWhoseLineChangedMustReconnect(t *testing.T) {
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
			s := openLink(t)
			stays, goes := s.dialAgent("tcp", "001", ""), s.dialAgent("tcp", "005", "")
			s.startAgent(stays, 1)
			s.startAgent(goes, 5)
			s.link.SetKeys(readKeys(t, "001 web any 1111111111111111\n"+c.line))
			goes.expectClosed()
			s.expectSighting(5, detector.SawClosed)
			stays.send(keepAliveText)
			stays.expectMessage(ackReply)
			s.expectSighting(1, detector.SawKeepAlive)
			again := s.dialAgent("tcp", "005", "")
			if c.back {
				s.startAgent(again, 5)
				return
			}
			again.send(startupText)
			again.expectClosed()
			s.expectNoSighting()
		})
	}
}

func TestAnAgentOverUDPWhoseKeyChangedIsRefused(t *testing.T) {
	s := openLink(t)
	stays, goes := s.dialAgent("udp", "001", ""), s.dialAgent("udp", "005", "")
	s.startAgent(stays, 1)
	s.startAgent(goes, 5)
	s.link.SetKeys(readKeys(t, "001 web any 1111111111111111\n005 vpn any 9999\n"))
	if err := s.link.KeepAlive(5, 1); err != ErrNotConnected {
		t.Errorf("keep-alive: %v", err)
	}
	goes.send(keepAliveText)
	goes.expectNoAnswer()
	if n := s.countRefusals(wrongKey); n != 1 {
		t.Errorf("refused: %v", s.link.Stats().Refused)
	}
	stays.send(keepAliveText)
	stays.expectMessage(ackReply)
	s.expectSighting(1, detector.SawKeepAlive)
}

func TestANewAgentIsAcceptedAtOnce(t *testing.T) {
	s := openLink(t, func(c *Config) { c.Keys = readKeys(t, "") })
	a := s.dialAgent("tcp", "001", "")
	a.send(startupText)
	a.expectClosed()
	s.link.SetKeys(readKeys(t, keyFile))
	s.startAgent(s.dialAgent("tcp", "001", ""), 1)
}

// The connected agent keeps its key's line, not the whole reading it came from.
func TestAConnectedAgentKeepsNoOldReadingOfTheKeys(t *testing.T) {
	s := openLink(t)
	s.startAgent(s.dialAgent("tcp", "001", ""), 1)
	keys := readKeys(t, keyFile)
	s.link.SetKeys(keys)
	if now, _ := keys.ByID([]byte("001")); s.link.registry.keyOfPeer(s.link.registry.peerOf(1)) != now {
		t.Error("the peer holds the old reading")
	}
}
