package listen

import (
	"bytes"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

// farEnd is the other side of a connection in memory.
type farEnd struct {
	net.Conn
	work sync.WaitGroup
}

// inPipe runs a test with an inlet at one end of a connection in memory, on fake time.
func inPipe(t *testing.T, work func(t *testing.T, in *inlet, far *farEnd)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		near, end := net.Pipe()
		far := &farEnd{Conn: end}
		in := new(inlet)
		in.open(near)
		work(t, in, far)
		_, _ = near.Close(), end.Close()
		far.work.Wait()
	})
}

// trickle sends a byte at a time, after a pause.
func (far *farEnd) trickle(b []byte, first, pause time.Duration) {
	far.work.Go(func() {
		time.Sleep(first)
		for i := range b {
			if _, err := far.Write(b[i : i+1]); err != nil {
				return
			}
			time.Sleep(pause)
		}
	})
}

func TestAStrangerHasTenSecondsToShowAKey(t *testing.T) {
	for _, c := range []struct {
		name string
		send []byte // a byte a second
	}{{"who says nothing", nil}, {"who says a byte a second", framed(garble(100))}} {
		t.Run(c.name, func(t *testing.T) {
			inPipe(t, func(t *testing.T, in *inlet, far *farEnd) {
				before := time.Now()
				far.trickle(c.send, 0, time.Second)
				if _, err := in.next(); !isRefused(err, tooLate) || time.Since(before) != frameTime {
					t.Errorf("after %v: %v", time.Since(before), err)
				}
			})
		})
	}
}

func TestAnAgentMayBeSilentForAnyTimeButNotWithinAMessage(t *testing.T) {
	for _, size := range []int{100, 5000} {
		frame := framed(garble(size))
		for _, c := range []struct {
			name string
			all  time.Duration // for the whole message
			late bool
		}{{"in time", frameTime - time.Second, false}, {"too late", frameTime + time.Second, true}} {
			t.Run(fmt.Sprintf("%d bytes %s", size, c.name), func(t *testing.T) {
				inPipe(t, func(t *testing.T, in *inlet, far *farEnd) {
					in.welcome()
					for range 3 {
						before := time.Now()
						far.trickle(frame, time.Hour, c.all/time.Duration(len(frame)))
						got, err := in.next()
						if c.late {
							if took := time.Since(before); !isRefused(err, tooLate) || took != time.Hour+frameTime {
								t.Errorf("%v after %v", err, took)
							}
							return
						}
						if err != nil || !bytes.Equal(got, frame[4:]) {
							t.Fatal(err)
						}
						far.work.Wait()
					}
				})
			})
		}
	}
}

func TestMemoryGrowsWithWhatArrivesNotWithWhatIsPromised(t *testing.T) {
	promise := framed(garble(secmsg.MaxMessage))[:1000]
	result := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			in := &inlet{conn: &script{rest: promise, piece: len(promise)}, known: true}
			if _, err := in.next(); !isRefused(err, notOurs) {
				b.Fatal(err)
			}
		}
	})
	if have := result.AllocedBytesPerOp(); have > 8*inletSize {
		t.Errorf("%d bytes for 1 000 of 65 536", have)
	}
}

func FuzzInletSplitsAnyStream(f *testing.F) {
	f.Add([]byte("\x05\x00\x00\x00#ping\x02\x00\x00\x00ab"), uint8(3), true)
	f.Add(framed(garble(5000)), uint8(200), true)
	f.Add(framed(garble(5000)), uint8(200), false)
	f.Add([]byte("\xff\xff\xff\xff"), uint8(1), true)
	f.Add([]byte{0, 0, 0, 0, 0, 0}, uint8(1), false)
	f.Fuzz(func(t *testing.T, stream []byte, piece uint8, known bool) {
		in := &inlet{conn: &script{rest: stream, piece: int(piece) + 1}, known: known}
		for want := stream; ; {
			frame, err := in.next()
			if err != nil {
				if len(want) >= 4 && wholeFrame(want, known) {
					t.Fatalf("a whole frame is not read: %v", err)
				}
				return
			}
			if !bytes.HasPrefix(want[4:], frame) || len(frame) != int(want[0])|int(want[1])<<8|int(want[2])<<16|int(want[3])<<24 {
				t.Fatalf("frame %q of %q", frame, want)
			}
			want = want[4+len(frame):]
		}
	})
}

func wholeFrame(b []byte, known bool) bool {
	size := int(b[0]) | int(b[1])<<8 | int(b[2])<<16 | int(b[3])<<24
	limit := secmsg.MaxMessage
	if !known {
		limit = strangerLimit
	}
	return size <= limit && len(b) >= 4+size
}
