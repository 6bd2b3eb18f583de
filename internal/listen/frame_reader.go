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
	// 110 bytes, and a peer that has not authenticated gets no more memory than this.
	strangerLimit = 4 << 10
	// minFrameBuffer is the least size of the buffer for a partial frame: an agent's
	// keep-alive is 270 bytes.
	minFrameBuffer = 512
	// readBufferSize bounds one read: several frames of any size but the longest.
	readBufferSize = 64 << 10
	// frameTimeout is how long the rest of a message may take to arrive, and the
	// first whole one on a new connection.
	frameTimeout = 10 * time.Second
	// answerTimeout is how long a claim may take to answer the question that proves it.
	answerTimeout = 30 * time.Second
)

// frameReader splits what a connection sends into frames: a length, and that many bytes.
// It holds memory only for a partial frame. It is for one goroutine, except for its
// atomic fields.
type frameReader struct {
	data       []byte      // read and not yet returned
	owned      bool        // data is not a part of the caller's buffer
	known      bool        // the connection has authenticated
	questioned atomic.Bool // it has shown a key, and must answer a question
	deadline   atomic.Int64
}

// startAuthenticationDeadline gives a new connection the frameTimeout to authenticate.
func (r *frameReader) startAuthenticationDeadline(now time.Time) {
	r.deadline.Store(now.Add(frameTimeout).UnixNano())
}

// liftStrangerLimits lifts the limits of a connection that has not authenticated.
func (r *frameReader) liftStrangerLimits() {
	r.known = true
	r.questioned.Store(false)
	r.deadline.Store(0)
}

// startAnswerDeadline gives a connection with a claim the answerTimeout.
func (r *frameReader) startAnswerDeadline(now time.Time) {
	r.questioned.Store(true)
	r.deadline.Store(now.Add(answerTimeout).UnixNano())
}

// isPastDeadline reports whether a frame was not completed, or the connection did not
// authenticate, by the deadline.
func (r *frameReader) isPastDeadline(now time.Time) bool {
	due := r.deadline.Load()
	return due != 0 && now.UnixNano() >= due
}

// readOnce reads once: into the buffer, or behind a partial frame. It reports whether
// more may be readable at once.
func (r *frameReader) readOnce(from io.Reader, buffer []byte) (more bool, err error) {
	room := buffer
	if !r.known { // the rest stays in the socket until it has authenticated
		room = buffer[:min(len(buffer), lengthSize+strangerLimit)]
	}
	if len(r.data) > 0 {
		room = r.growFrameBuffer()
	}
	n, err := from.Read(room)
	switch {
	case len(r.data) > 0:
		r.data = r.data[:len(r.data)+n]
	case n > 0:
		r.data, r.owned = room[:n], false
	}
	return n == len(room), err
}

// growFrameBuffer returns the buffer for the rest of a frame. Memory grows with what has
// arrived, not with the announced length. There must be no complete frame.
func (r *frameReader) growFrameBuffer() []byte {
	whole := r.firstFrameSize()
	if !r.owned || len(r.data) == cap(r.data) {
		r.data = append(make([]byte, 0, min(whole, max(2*len(r.data), minFrameBuffer))), r.data...)
		r.owned = true
	}
	return r.data[len(r.data):min(whole, cap(r.data))]
}

// firstFrameSize returns the size of the first frame, or of its length if that is incomplete.
func (r *frameReader) firstFrameSize() int {
	if len(r.data) < lengthSize {
		return lengthSize
	}
	return lengthSize + int(binary.LittleEndian.Uint32(r.data))
}

// nextCompleteFrame returns the next complete frame without its length, valid until readOnce or
// retainUnreadData is called; nil if there is none.
func (r *frameReader) nextCompleteFrame() ([]byte, error) {
	if len(r.data) < lengthSize {
		return nil, nil
	}
	limit := uint32(secmsg.MaxMessage)
	if !r.known && !r.questioned.Load() {
		limit = strangerLimit
	}
	if length := binary.LittleEndian.Uint32(r.data); length > limit {
		return nil, refuse(oversized, fmt.Errorf("a message of %d bytes, where %d are the limit", length, limit))
	}
	size := r.firstFrameSize()
	if len(r.data) < size {
		return nil, nil
	}
	frame := r.data[lengthSize:size:size]
	if r.data = r.data[size:]; len(r.data) == 0 {
		r.data, r.owned = nil, false
	}
	if r.known {
		r.deadline.Store(0)
	}
	return frame, nil
}

// retainUnreadData copies the unread data out of the caller's buffer: a partial frame, and
// complete ones before it if the connection is paused. It reports whether it started the
// frameTimeout for the rest; before authentication that runs already.
func (r *frameReader) retainUnreadData(now time.Time) bool {
	if len(r.data) == 0 {
		return false
	}
	if !r.owned {
		r.data = append(make([]byte, 0, max(len(r.data), minFrameBuffer)), r.data...)
		r.owned = true
	}
	if !r.known || r.deadline.Load() != 0 {
		return false
	}
	r.deadline.Store(now.Add(frameTimeout).UnixNano())
	return true
}

// explainStreamEnd returns the error for the end of the stream, which may be in the middle of
// a message.
func (r *frameReader) explainStreamEnd(err error) error {
	if errors.Is(err, io.EOF) && len(r.data) > 0 {
		return refuse(notOurs, errors.New("it closed in the middle of a message"))
	}
	return err
}

var (
	errUnanswered = refuse(staleCounter, fmt.Errorf("no answer to a question within %v", answerTimeout))
	errLate       = refuse(tooLate, fmt.Errorf("no whole message within %v", frameTimeout))
)
