package listen

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

const (
	lengthSize = 4
	// strangerLimit bounds the first message of a connection: a startup is some
	// 110 bytes, and who has not shown a key yet gets no more memory than this.
	strangerLimit = 4 << 10
	// keptSize is the least room made for a frame of which a part has arrived: an
	// agent's keep-alive is 270 bytes.
	keptSize = 512
	// bufferSize is for what is read in one go: several frames of any size but the longest.
	bufferSize = 64 << 10
	// frameTime is how long the rest of a message may take to arrive, and the
	// first whole one on a new connection.
	frameTime = 10 * time.Second
	// answerTime is how long an agent may take that has to answer before it is believed.
	answerTime = 30 * time.Second
)

// inlet makes frames of what a connection sends: a length, and that many bytes. It
// holds memory only while a frame is not whole. It is for one goroutine, but for due.
type inlet struct {
	data  []byte      // read and not yet taken
	own   bool        // data is the inlet's, not a part of the reader's buffer
	known bool        // the connection has shown that its agent is there
	asked atomic.Bool // it has shown a key, and has to answer a question
	due   atomic.Int64
}

// open begins with a stranger, who has the frameTime to show a key.
func (in *inlet) open(now time.Time) { in.due.Store(now.Add(frameTime).UnixNano()) }

// welcome lifts what binds a stranger.
func (in *inlet) welcome() {
	in.known = true
	in.asked.Store(false)
	in.due.Store(0)
}

// question gives a stranger who has shown a key the time to answer.
func (in *inlet) question(now time.Time) {
	in.asked.Store(true)
	in.due.Store(now.Add(answerTime).UnixNano())
}

// late reports whether a frame is not whole in time, or a stranger has not shown a key.
func (in *inlet) late(now time.Time) bool {
	due := in.due.Load()
	return due != 0 && now.UnixNano() >= due
}

// read reads once: into the buffer, or behind a frame that is not whole yet. It
// reports whether there may be more at once.
func (in *inlet) read(from io.Reader, buffer []byte) (more bool, err error) {
	room := buffer
	if !in.known { // the rest stays in the socket until it has shown a key
		room = buffer[:min(len(buffer), lengthSize+strangerLimit)]
	}
	if len(in.data) > 0 {
		room = in.room()
	}
	n, err := from.Read(room)
	switch {
	case len(in.data) > 0:
		in.data = in.data[:len(in.data)+n]
	case n > 0:
		in.data, in.own = room[:n], false
	}
	return n == len(room), err
}

// room returns where the rest of a frame goes. Memory grows with what arrives, not
// with what is promised. No whole frame may be there.
func (in *inlet) room() []byte {
	whole := in.whole()
	if !in.own || len(in.data) == cap(in.data) {
		in.data = append(make([]byte, 0, min(whole, max(2*len(in.data), keptSize))), in.data...)
		in.own = true
	}
	return in.data[len(in.data):min(whole, cap(in.data))]
}

// whole is how many bytes the frame that comes first has, as far as that is known.
func (in *inlet) whole() int {
	if len(in.data) < lengthSize {
		return lengthSize
	}
	return lengthSize + int(binary.LittleEndian.Uint32(in.data))
}

// next returns the next whole frame without its length, valid until read or keep
// is called; nil if there is none.
func (in *inlet) next() ([]byte, error) {
	if len(in.data) < lengthSize {
		return nil, nil
	}
	limit := uint32(secmsg.MaxMessage)
	if !in.known && !in.asked.Load() {
		limit = strangerLimit
	}
	if length := binary.LittleEndian.Uint32(in.data); length > limit {
		return nil, refuse(oversized, fmt.Errorf("a message of %d bytes, where %d are the limit", length, limit))
	}
	size := in.whole()
	if len(in.data) < size {
		return nil, nil
	}
	frame := in.data[lengthSize:size:size]
	if in.data = in.data[size:]; len(in.data) == 0 {
		in.data, in.own = nil, false
	}
	if in.known {
		in.due.Store(0)
	}
	return frame, nil
}

// keep takes what has arrived out of the reader's buffer: a part of a frame, and
// whole ones before it where a connection is paused. The rest has the frameTime to
// follow; a stranger's runs already. It reports whether that begins.
func (in *inlet) keep(now time.Time) bool {
	if len(in.data) == 0 {
		return false
	}
	if !in.own {
		in.data = append(make([]byte, 0, max(len(in.data), keptSize)), in.data...)
		in.own = true
	}
	if !in.known || in.due.Load() != 0 {
		return false
	}
	in.due.Store(now.Add(frameTime).UnixNano())
	return true
}

// ended is why no more comes: in the middle of a message, or not.
func (in *inlet) ended(err error) error {
	if errors.Is(err, io.EOF) && len(in.data) > 0 {
		return refuse(notOurs, errors.New("it closed in the middle of a message"))
	}
	return err
}

var (
	errUnanswered = refuse(staleCounter, fmt.Errorf("no answer to a question within %v", answerTime))
	errLate       = refuse(tooLate, fmt.Errorf("no whole message within %v", frameTime))
)
