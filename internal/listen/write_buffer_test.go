package listen

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"golang.org/x/sys/unix"
)

// newWriteBufferPair returns a writeBuffer and the far end of its socket, which reads
// nothing yet. Waits is whether the writeBuffer waits until the socket is writable.
func newWriteBufferPair(t *testing.T) (o *writeBuffer, far *os.File, waits *bool) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.SetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_SNDBUF, 4<<10)
	far, waits = os.NewFile(uintptr(fds[1]), "far"), new(bool)
	_ = far.SetReadDeadline(time.Now().Add(patience))
	o = &writeBuffer{fd: fds[0], setWaiting: func(on bool) { *waits = on }}
	t.Cleanup(func() { o.closeSocket(); _ = far.Close() })
	return o, far, waits
}

func TestWhatASlowReaderIsSentArrivesInOrder(t *testing.T) {
	o, far, waits := newWriteBufferPair(t)
	var sent, got bytes.Buffer
	piece := make([]byte, 1000)
	for range 20 {
		for busy := 0; busy < 5; sent.Write(piece) {
			for i := range piece {
				piece[i] = byte(sent.Len() + i*i)
			}
			if err := o.writeOrQueue(piece); err != nil {
				t.Fatal(err)
			}
			if *waits {
				busy++
			}
		}
		for *waits { // as a poller, when the socket is writable
			if _, err := io.CopyN(&got, far, 100); err != nil {
				t.Fatal(err)
			}
			o.flushPendingOutput()
		}
	}
	if _, err := io.CopyN(&got, far, int64(sent.Len()-got.Len())); err != nil || !bytes.Equal(got.Bytes(), sent.Bytes()) {
		t.Errorf("what arrives differs: %v", err)
	}
	if o.pending != nil {
		t.Errorf("%d bytes are held", cap(o.pending))
	}
}

func TestAPeerThatStopsReadingIsDroppedAtABoundedCost(t *testing.T) {
	o, far, _ := newWriteBufferPair(t)
	for { // the system takes what its buffers hold
		err := o.writeOrQueue(make([]byte, 100))
		if kept := cap(o.pending); kept > 2*maxPending {
			t.Fatalf("%d bytes are kept", kept)
		}
		if err != nil {
			if !isRefused(err, tooSlow) {
				t.Errorf("dropped for %v", err)
			}
			break
		}
	}
	if err := o.writeOrQueue([]byte("more")); !isRefused(err, tooSlow) {
		t.Errorf("afterwards: %v", err)
	}
	if _, err := io.Copy(io.Discard, far); err != nil {
		t.Errorf("the far end is not told: %v", err)
	}
	if err := o.endReason(io.EOF); !isRefused(err, tooSlow) {
		t.Errorf("it ends for %v", err)
	}
}

func TestAPeerThatReadsNoMoreIsStuck(t *testing.T) {
	o, far, waits := newWriteBufferPair(t)
	for !*waits {
		if err := o.writeOrQueue(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	stuck := time.Unix(0, o.stuckSince.Load())
	if o.isStuck(stuck.Add(drainTimeout-1)) || !o.isStuck(stuck.Add(drainTimeout)) {
		t.Errorf("not late after %v", drainTimeout)
	}
	for o.isStuck(stuck.Add(drainTimeout)) { // until the socket takes more
		if _, err := io.CopyN(io.Discard, far, 100); err != nil {
			t.Fatalf("late, though it has read all: %v", err)
		}
		o.flushPendingOutput()
	}
}

func TestWritingToAConnectionThatIsGoneFails(t *testing.T) {
	o, far, _ := newWriteBufferPair(t)
	_ = far.Close()
	if err := o.writeOrQueue([]byte("hello")); !isConnGone(err) {
		t.Errorf("the far end is gone: %v", err)
	}
	o, _, _ = newWriteBufferPair(t)
	o.closeSocket()
	if err := o.writeOrQueue([]byte("hello")); !isConnGone(err) {
		t.Errorf("closed: %v", err)
	}
	o.endConn(errors.New("too late")) // does nothing to whoever has the number of the socket now
}

func TestAnAgentThatDoesNotReadIsDropped(t *testing.T) {
	var dropped = make(chan struct{})
	s := openLink(t, func(c *Config) {
		c.Report = func(seen detector.Sighting) {
			if seen.Kind == detector.SawClosed {
				close(dropped)
			}
		}
	})
	a := s.dialAgent("tcp", "001", "")
	many := bytes.Repeat(a.encodeFrame(keepAliveText), 1000)
	for {
		if _, err := a.conn.Write(many); err != nil {
			break
		}
	}
	<-dropped
	if n := s.countRefusals(tooSlow); n != 1 {
		t.Errorf("refused: %v", s.link.Stats().Refused)
	}
}

// connOf returns the only connection.
func (s *testLink) connOf() *conn {
	p := s.link.poller
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conns[slices.IndexFunc(p.conns, func(c *conn) bool { return c != nil })]
}

func TestAnAgentThatReadsLaterGetsEveryAnswer(t *testing.T) {
	s := openLink(t)
	a := s.dialAgent("tcp", "001", "")
	s.startAgent(a, 1)
	c := s.connOf()
	pongs := 0
	for kept := 0; kept == 0; pongs += 100 {
		if err := c.writer.writeOrQueue(bytes.Repeat(pong, 100)); err != nil {
			t.Fatal(err)
		}
		c.writer.mu.Lock()
		kept = len(c.writer.pending)
		c.writer.mu.Unlock()
	}
	a.send(keepAliveText)
	s.expectSighting(1, detector.SawKeepAlive)
	got := make([]byte, pongs*len(pong))
	if _, err := io.ReadFull(a.conn, got); err != nil || !bytes.Equal(got, bytes.Repeat(pong, pongs)) {
		t.Fatalf("what was kept does not arrive: %v", err)
	}
	a.expectMessage(ackReply)
	a.expectNoAnswer()
}

func TestConnectionsPastTheirDeadlineAreEnded(t *testing.T) {
	s := openLink(t)
	stranger, agent, half := s.dialAgent("tcp", "005", ""), s.dialAgent("tcp", "001", ""), s.dialAgent("tcp", "003", "")
	stranger.expectNoAnswer()
	s.startAgent(agent, 1)
	s.startAgent(half, 3)
	half.writeRaw(half.encodeFrame(eventText)[:20])
	half.sendPing() // behind it: the frame is not whole for long
	for c := s.awaitLateConn(3); c == nil; c = s.awaitLateConn(3) {
	}
	s.link.endOverdueConns(time.Now().Add(frameTimeout))
	stranger.expectClosed()
	half.expectClosed()
	s.expectSighting(3, detector.SawClosed)
	s.pingUntil(agent, func() bool { return s.countRefusals(tooLate) == 2 }) // the far end may see it first
	agent.send(keepAliveText)
	agent.expectMessage(ackReply)
}

// awaitLateConn returns the connection of an agent, once a part of a frame of it was read.
func (s *testLink) awaitLateConn(id detector.AgentID) *conn {
	if c := s.link.registry.peerOf(id).conn; c.reader.deadline.Load() != 0 {
		return c
	}
	return nil
}
