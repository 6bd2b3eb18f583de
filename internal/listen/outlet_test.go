package listen

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// deadlines is a connection that notes its write deadline and makes it short.
type deadlines struct {
	*net.TCPConn
	mu    sync.Mutex
	set   time.Time
	short time.Duration // in place of the time asked for; 0: that
}

func (d *deadlines) SetWriteDeadline(at time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.set = at
	if d.short > 0 && !at.IsZero() {
		at = time.Now().Add(d.short)
	}
	return d.TCPConn.SetWriteDeadline(at)
}

func (d *deadlines) deadline() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.set
}

// outletPair is an outlet, its connection and the far end, which reads nothing yet.
func outletPair(t *testing.T) (o *outlet, near *deadlines, far net.Conn, drained *sync.WaitGroup) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if far, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	_ = far.(*net.TCPConn).SetReadBuffer(4 << 10)
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	near = &deadlines{TCPConn: c.(*net.TCPConn)}
	_ = near.SetWriteBuffer(4 << 10)
	raw, err := near.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	drained = new(sync.WaitGroup)
	o = &outlet{conn: near, raw: raw, spin: func(f func()) bool { drained.Go(f); return true }}
	t.Cleanup(func() { _ = far.Close(); _ = near.Close(); drained.Wait() })
	return o, near, far, drained
}

func TestWhatASlowReaderIsSentArrivesInOrder(t *testing.T) {
	o, near, far, drained := outletPair(t)
	var sent bytes.Buffer
	piece := make([]byte, 1000)
	for busy := 0; busy < 5; sent.Write(piece) {
		for i := range piece {
			piece[i] = byte(sent.Len() + i*i)
		}
		if err := o.write(piece); err != nil {
			t.Fatal(err)
		}
		o.mu.Lock()
		if o.draining {
			busy++
		}
		o.mu.Unlock()
	}
	got := make([]byte, sent.Len())
	_ = far.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, sent.Bytes()) {
		t.Errorf("what arrives differs: %v", err)
	}
	drained.Wait()
	if at := near.deadline(); !at.IsZero() {
		t.Errorf("a deadline at %v is left: it would end the connection", at)
	}
	if err := o.write([]byte("more")); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestAReaderWhoStopsIsDroppedAtABoundedCost(t *testing.T) {
	o, _, _, _ := outletPair(t)
	for { // the system takes what its buffers hold
		err := o.write(make([]byte, 100))
		o.mu.Lock()
		kept := cap(o.kept)
		o.mu.Unlock()
		if kept > 2*outletLimit {
			t.Fatalf("%d bytes are kept", kept)
		}
		if err != nil {
			if !isRefused(err, tooSlow) || !isRefused(o.failure(), tooSlow) {
				t.Errorf("dropped for %v", err)
			}
			break
		}
	}
	if err := o.write([]byte("more")); !isRefused(err, tooSlow) {
		t.Errorf("afterwards: %v", err)
	}
}

func TestAReaderWhoNeverGoesOnIsDroppedInTime(t *testing.T) {
	o, near, _, drained := outletPair(t)
	near.short = 10 * time.Millisecond
	for o.failure() == nil { // until the system takes no more
		_ = o.write(make([]byte, 1000))
		drained.Wait()
	}
	if err := o.failure(); !isRefused(err, tooSlow) {
		t.Errorf("dropped for %v", err)
	}
}

func TestWritingToAConnectionThatIsGoneFails(t *testing.T) {
	o, near, _, _ := outletPair(t)
	_ = near.Close()
	if err := o.write([]byte("hello")); err == nil {
		t.Error("no error")
	}
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
