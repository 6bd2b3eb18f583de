package listen

import (
	"net/netip"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// duplicate is a report that two machines have one key.
type duplicate struct {
	id            detector.AgentID
	addr, refused netip.Addr
}

func openDuplicateLink(t *testing.T) (*testLink, chan duplicate) {
	found := make(chan duplicate, 100)
	s := prepareLink(t, func(c *Config) {
		c.Duplicated = func(id detector.AgentID, addr, refused netip.Addr) { found <- duplicate{id, addr, refused} }
	})
	s.link.registry.closeTimeout = 20 * time.Millisecond
	s.start()
	return s, found
}

// A copy of a machine has its numbers: they may be lower by now, or higher.
func TestTwoMachinesWithOneKeyAreReported(t *testing.T) {
	t.Parallel()
	for name, ahead := range map[string]bool{"the copy is ahead": true, "the copy is behind": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, found := openDuplicateLink(t)
			a := s.dialAgent("tcp", "001", "")
			copied := a.counter
			s.startAgent(a, 1)
			b := s.dialAgent("tcp", "001", "")
			if !ahead {
				b.counter = copied
				b.send(keepAliveText)
				b.expectMessage(ackReply)
				b.sendAnswer(b.receiveQuestion())
			} else {
				b.send(startupText)
			}
			b.expectClosed()
			var got duplicate
			for got.id == 0 {
				a.send(keepAliveText)
				a.expectMessage(ackReply)
				select {
				case got = <-found:
				case <-time.After(20 * time.Millisecond):
				}
			}
			if loopback := netip.MustParseAddr("127.0.0.1"); got != (duplicate{1, loopback, loopback}) {
				t.Errorf("%+v", got)
			}
		})
	}
}

// A recording proves nothing, and neither does a second connection after which the first one
// says nothing more.
func TestARecordingIsNoSecondMachine(t *testing.T) {
	t.Parallel()
	s, found := openDuplicateLink(t)
	a := s.dialAgent("tcp", "001", "")
	s.startAgent(a, 1)
	captured := s.captureFrame(a, keepAliveText, detector.SawKeepAlive)
	thief := s.replayFrame("tcp", captured)
	thief.expectMessage(ackReply)
	p := s.link.registry.peerOf(1)
	for range 10 {
		a.send(keepAliveText)
		a.expectMessage(ackReply)
		s.expectSighting(1, detector.SawKeepAlive)
		if r := p.rival.Load(); r != nil {
			t.Fatalf("the thief is %+v", r)
		}
	}
	p.addRival(&peer{isProven: true, from: netip.MustParseAddrPort("10.0.0.9:1")}, s.link.clock.Now().Add(-rivalLifetime))
	a.send(keepAliveText)
	a.expectMessage(ackReply)
	if len(found) > 0 || p.rival.Load() != nil {
		t.Errorf("%d reports of one that is long gone", len(found))
	}
}
