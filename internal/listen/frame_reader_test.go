package listen

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

// readAll reads a stream to its end as a poller does, and passes on every complete frame.
func readAll(in *frameReader, from io.Reader, now func() time.Time, hear func([]byte)) error {
	buffer := make([]byte, readBufferSize)
	for {
		_, err := in.readOnce(from, buffer)
		if err != nil {
			return in.explainStreamEnd(err)
		}
		for {
			frame, err := in.nextCompleteFrame()
			if err != nil {
				return err
			}
			if frame == nil {
				break
			}
			hear(frame)
		}
		in.retainUnreadData(now())
		clear(buffer) // it is the next connection's
	}
}

func TestAStrangerHasTenSecondsToShowAKey(t *testing.T) {
	start := time.Now()
	for _, c := range []struct {
		name string
		send []byte // a byte a second
	}{{"sends nothing", nil}, {"sends a byte a second", addLength(garbledFrame(100))[:20]}, {"only pings", []byte("\x05\x00\x00\x00#ping")}} {
		t.Run(c.name, func(t *testing.T) {
			in, now := new(frameReader), start
			in.startAuthenticationDeadline(start)
			_ = readAll(in, &scriptedReader{rest: c.send, piece: 1}, func() time.Time { now = now.Add(time.Second); return now }, func([]byte) {})
			if in.isPastDeadline(start.Add(frameTimeout-1)) || !in.isPastDeadline(start.Add(frameTimeout)) {
				t.Errorf("not late after %v", frameTimeout)
			}
		})
	}
}

func TestAnAgentMayBeSilentForAnyTimeButNotWithinAMessage(t *testing.T) {
	for _, size := range []int{100, 5000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			in, now, heard := new(frameReader), time.Now(), 0
			in.startAuthenticationDeadline(now)
			in.liftStrangerLimits()
			for range 3 {
				now = now.Add(time.Hour)
				if in.isPastDeadline(now) {
					t.Fatal("late between messages")
				}
				began := now.Add(time.Second)
				step := func() time.Time { now = now.Add(time.Second); return now }
				frame := addLength(garbledFrame(size))
				if err := readAll(in, &scriptedReader{rest: frame[:len(frame)-1], piece: (len(frame) + 4) / 5}, step, nil); !isRefused(err, notOurs) {
					t.Fatal(err)
				}
				if in.isPastDeadline(began.Add(frameTimeout-1)) || !in.isPastDeadline(began.Add(frameTimeout)) {
					t.Fatal("the time runs from a message's begin")
				}
				if err := readAll(in, &scriptedReader{rest: frame[len(frame)-1:], piece: 1}, step, func(got []byte) {
					heard++
					if !bytes.Equal(got, frame[lengthSize:]) {
						t.Error("another frame")
					}
				}); !errors.Is(err, io.EOF) || isRefused(err, notOurs) {
					t.Fatal(err)
				}
			}
			if heard != 3 {
				t.Errorf("%d frames", heard)
			}
		})
	}
}

func TestMemoryGrowsWithWhatArrivesNotWithWhatIsPromised(t *testing.T) {
	promise := addLength(garbledFrame(secmsg.MaxMessage))[:1000]
	for _, piece := range []int{1, 100, 1000} {
		in := &frameReader{known: true}
		if err := readAll(in, &scriptedReader{rest: promise, piece: piece}, time.Now, nil); !isRefused(err, notOurs) {
			t.Fatal(err)
		}
		if have := cap(in.data); have > 4*len(promise) {
			t.Errorf("%d bytes for 1 000 of 65 536", have)
		}
	}
}

func TestNothingIsHeldBetweenMessages(t *testing.T) {
	for _, size := range []int{5, 300, 60_000} {
		in := &frameReader{known: true}
		stream := bytes.Repeat(addLength(garbledFrame(size)), 3)
		if err := readAll(in, &scriptedReader{rest: stream, piece: 999}, time.Now, func([]byte) {}); !errors.Is(err, io.EOF) || in.data != nil {
			t.Errorf("%d bytes held, %v", cap(in.data), err)
		}
	}
}

func FuzzFrameReaderSplitsAnyStream(f *testing.F) {
	f.Add([]byte("\x05\x00\x00\x00#ping\x02\x00\x00\x00ab"), uint8(3), true)
	f.Add(addLength(garbledFrame(5000)), uint8(200), true)
	f.Add(addLength(garbledFrame(5000)), uint8(200), false)
	f.Add([]byte("\xff\xff\xff\xff"), uint8(1), true)
	f.Add([]byte{0, 0, 0, 0, 0, 0}, uint8(1), false)
	f.Fuzz(func(t *testing.T, stream []byte, piece uint8, known bool) {
		in, want := &frameReader{known: known}, stream
		err := readAll(in, &scriptedReader{rest: stream, piece: int(piece) + 1}, time.Now, func(frame []byte) {
			if !wholeFrame(want, known) || !bytes.HasPrefix(want[4:], frame) ||
				len(frame) != int(want[0])|int(want[1])<<8|int(want[2])<<16|int(want[3])<<24 {
				t.Fatalf("frame %q of %q", frame, want)
			}
			want = want[4+len(frame):]
		})
		if len(want) >= 4 && wholeFrame(want, known) {
			t.Fatalf("a whole frame is not read: %v", err)
		}
	})
}

func wholeFrame(b []byte, known bool) bool {
	if len(b) < 4 {
		return false
	}
	size := int(b[0]) | int(b[1])<<8 | int(b[2])<<16 | int(b[3])<<24
	limit := secmsg.MaxMessage
	if !known {
		limit = strangerLimit
	}
	return size <= limit && len(b) >= 4+size
}

// scriptedReader is a reader of a given stream, in pieces.
type scriptedReader struct {
	rest  []byte
	piece int
}

func (s *scriptedReader) Read(b []byte) (int, error) {
	if len(s.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.rest[:min(s.piece, len(s.rest))])
	s.rest = s.rest[n:]
	return n, nil
}
