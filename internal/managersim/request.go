package managersim

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"
)

// requestCounter numbers requests. It goes on after a restart, so that a late
// answer to one from before is nobody's.
type requestCounter struct{ n atomic.Uint32 }

func (c *requestCounter) next() string { return fmt.Sprintf("%08x", c.n.Add(1)) }

// requestSocket is the name of the socket for requests: it moved in 4.4.
func (r *remoted) requestSocket() string {
	if r.cfg.before(4, 4) {
		return "request"
	}
	return "remote"
}

// receive takes a client of the request socket. It runs on the goroutine that
// accepts: while a client has not sent its whole frame, and while the pool is
// full, there is no next one.
func (r *remoted) receive(conn net.Conn) {
	began := time.Now()
	frame, err := readFrame(conn)
	raise(&r.count.longestFrame, int64(time.Since(began)))
	if errors.Is(err, errLength) && !strings.HasSuffix(err.Error(), ": 0") {
		drain(conn) // it waits for all that was promised
	}
	if err != nil {
		r.release(conn)
		return
	}
	r.count.bytesIn[RequestSocket].Add(uint64(len(frame) + 4))
	select {
	case r.slots <- struct{}{}:
	case <-r.quit:
		r.release(conn)
		return
	}
	r.spin(func() {
		defer func() {
			<-r.slots
			r.release(conn)
			r.bell.ring()
		}()
		if text := r.request(frame); text != nil {
			r.write(RequestSocket, &r.daemon, conn, text)
		}
	})
}

// request answers "ID QUESTION", or JSON. Nil means not a word.
func (r *remoted) request(frame []byte) []byte {
	if frame[0] == '{' {
		r.count.commands.Add(1)
		return []byte(r.command(frame))
	}
	agent, question, is := bytes.Cut(frame, []byte(" "))
	if _, known := r.keys.Load().ByID(agent); !is || !known {
		r.count.unknown.Add(1)
		return nil
	}
	r.count.requests.Add(1)
	raise(&r.count.mostInFlight, r.count.inFlight.Add(1))
	defer r.count.inFlight.Add(-1)
	r.bell.ring()
	return r.ask(string(agent), question)
}

// ask asks an agent, and waits for its answer though the asker may be gone.
func (r *remoted) ask(agent string, question []byte) []byte {
	p := r.peer(agent)
	counter := r.counter.next()
	heard := make(chan []byte, 1)
	r.asked.Store(counter, heard)
	defer r.asked.Delete(counter)
	if p == nil || r.send(p, fmt.Appendf(nil, "#!-req %s %s", counter, question)) != nil {
		r.count.notSent.Add(1)
		return []byte("err Cannot send request")
	}
	r.tally.requests.Add(1)
	p.stats.requests.Add(1)
	patience := time.NewTimer(r.cfg.ResponseTimeout)
	defer patience.Stop()
	select {
	case text := <-heard:
		r.count.answered.Add(1)
		return text
	case <-patience.C:
	case <-r.quit:
		return nil
	}
	r.count.timedOut.Add(1)
	return []byte("err Response timeout")
}

// answered takes "COUNTER ANSWER" from an agent, and gives it to whoever asked.
func (r *remoted) answered(said []byte) {
	counter, text, is := bytes.Cut(said, []byte(" "))
	if !is {
		return
	}
	if heard, waits := r.asked.LoadAndDelete(string(counter)); waits {
		heard.(chan []byte) <- bytes.Clone(text)
	}
}
