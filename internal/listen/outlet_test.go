package listen

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"golang.org/x/sys/unix"
)

// outletPair is an outlet and the far end of its socket, which reads nothing yet.
// Waits says whether the outlet wants to be told when the socket takes more.
func outletPair(t *testing.T) (o *outlet, far *os.File, waits *bool) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.SetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_SNDBUF, 4<<10)
	far, waits = os.NewFile(uintptr(fds[1]), "far"), new(bool)
	_ = far.SetReadDeadline(time.Now().Add(patience))
	o = &outlet{fd: fds[0], wake: func(on bool) { *waits = on }}
	t.Cleanup(func() { o.close(); _ = far.Close() })
	return o, far, waits
}

func TestWhatASlowReaderIsSentArrivesInOrder(t *testing.T) {
	o, far, waits := outletPair(t)
	var sent, got bytes.Buffer
	piece := make([]byte, 1000)
	for range 20 {
		for busy := 0; busy < 5; sent.Write(piece) {
			for i := range piece {
				piece[i] = byte(sent.Len() + i*i)
			}
			if err := o.write(piece); err != nil {
				t.Fatal(err)
			}
			if *waits {
				busy++
			}
		}
		for *waits { // as a poller, when the socket takes more
			if _, err := io.CopyN(&got, far, 100); err != nil {
				t.Fatal(err)
			}
			o.drain()
		}
	}
	if _, err := io.CopyN(&got, far, int64(sent.Len()-got.Len())); err != nil || !bytes.Equal(got.Bytes(), sent.Bytes()) {
		t.Errorf("what arrives differs: %v", err)
	}
	if o.kept != nil {
		t.Errorf("%d bytes are held", cap(o.kept))
	}
}

func TestAReaderWhoStopsIsDroppedAtABoundedCost(t *testing.T) {
	o, far, _ := outletPair(t)
	for { // the system takes what its buffers hold
		err := o.write(make([]byte, 100))
		if kept := cap(o.kept); kept > 2*outletLimit {
			t.Fatalf("%d bytes are kept", kept)
		}
		if err != nil {
			if !isRefused(err, tooSlow) {
				t.Errorf("dropped for %v", err)
			}
			break
		}
	}
	if err := o.write([]byte("more")); !isRefused(err, tooSlow) {
		t.Errorf("afterwards: %v", err)
	}
	if _, err := io.Copy(io.Discard, far); err != nil {
		t.Errorf("the far end is not told: %v", err)
	}
	if err := o.reason(io.EOF); !isRefused(err, tooSlow) {
		t.Errorf("it ends for %v", err)
	}
}

func TestAReaderWhoNeverGoesOnIsLate(t *testing.T) {
	o, far, waits := outletPair(t)
	for !*waits {
		if err := o.write(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	stuck := time.Unix(0, o.stuck.Load())
	if o.late(stuck.Add(drainTime-1)) || !o.late(stuck.Add(drainTime)) {
		t.Errorf("not late after %v", drainTime)
	}
	for o.late(stuck.Add(drainTime)) { // until the socket takes more
		if _, err := io.CopyN(io.Discard, far, 100); err != nil {
			t.Fatalf("late, though it has read all: %v", err)
		}
		o.drain()
	}
}

func TestWritingToAConnectionThatIsGoneFails(t *testing.T) {
	o, far, _ := outletPair(t)
	_ = far.Close()
	if err := o.write([]byte("hello")); !gone(err) {
		t.Errorf("the far end is gone: %v", err)
	}
	o, _, _ = outletPair(t)
	o.close()
	if err := o.write([]byte("hello")); !gone(err) {
		t.Errorf("closed: %v", err)
	}
	o.end(errors.New("too late")) // does nothing to whoever has the number of the socket now
}

func TestAnAgentThatDoesNotReadIsDropped(t *testing.T) {
	var dropped = make(chan struct{})
	s := open(t, func(c *Config) {
		c.Report = func(seen detector.Sighting) {
			if seen.Kind == detector.SawClosed {
				close(dropped)
			}
		}
	})
	a := s.dial("tcp", "001", "")
	many := bytes.Repeat(a.frame(sayKeepAlive), 1000)
	for {
		if _, err := a.conn.Write(many); err != nil {
			break
		}
	}
	<-dropped
	if n := s.refusals(tooSlow); n != 1 {
		t.Errorf("refused: %v", s.link.Stats().Refused)
	}
}

// connOf returns the only connection.
func (s *station) connOf() *conn {
	for _, p := range s.link.pollers {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, c := range p.conns {
			if c != nil {
				return c
			}
		}
	}
	return nil
}

func TestAnAgentThatReadsLaterGetsEveryAnswer(t *testing.T) {
	s := open(t)
	a := s.dial("tcp", "001", "")
	s.greet(a, 1)
	c := s.connOf()
	pongs := 0
	for kept := 0; kept == 0; pongs += 100 {
		if err := c.out.write(bytes.Repeat(pong, 100)); err != nil {
			t.Fatal(err)
		}
		c.out.mu.Lock()
		kept = len(c.out.kept)
		c.out.mu.Unlock()
	}
	a.say(sayKeepAlive)
	s.expect(1, detector.SawKeepAlive)
	got := make([]byte, pongs*len(pong))
	if _, err := io.ReadFull(a.conn, got); err != nil || !bytes.Equal(got, bytes.Repeat(pong, pongs)) {
		t.Fatalf("what was kept does not arrive: %v", err)
	}
	a.expect(hearAck)
	a.unanswered()
}

func TestWhoIsLateIsEnded(t *testing.T) {
	s := open(t)
	stranger, agent, half := s.dial("tcp", "005", ""), s.dial("tcp", "001", ""), s.dial("tcp", "003", "")
	stranger.unanswered()
	s.greet(agent, 1)
	s.greet(half, 3)
	half.write(half.frame(sayEvent)[:20])
	half.ping() // behind it: the frame is not whole for long
	for c := s.late(3); c == nil; c = s.late(3) {
	}
	s.link.endLate(time.Now().Add(frameTime))
	stranger.dropped()
	half.dropped()
	s.expect(3, detector.SawClosed)
	s.until(agent, func() bool { return s.refusals(tooLate) == 2 }) // the far end may see it first
	agent.say(sayKeepAlive)
	agent.expect(hearAck)
}

// late returns the connection of an agent, once a part of a frame of it was read.
func (s *station) late(id detector.AgentID) *conn {
	if c := s.link.registry.peerOf(id).conn; c.in.due.Load() != 0 {
		return c
	}
	return nil
}
