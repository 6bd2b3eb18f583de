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

// requestCounter numbers requests. It is not reset by a restart, so that a
// late answer to an earlier request matches no other.
type requestCounter struct{ n atomic.Uint32 }

func (c *requestCounter) nextID() string { return fmt.Sprintf("%08x", c.n.Add(1)) }

// requestSocket returns the name of the socket for requests: it changed in
// 4.4.
func (r *remoted) requestSocket() string {
	if r.cfg.isBefore(4, 4) {
		return "request"
	}
	return "remote"
}

// acceptRequest reads the frame of a client of the request socket. It runs on
// the accepting goroutine: while a client has not sent its whole frame, and
// while the pool is full, no other client is accepted.
func (r *remoted) acceptRequest(conn net.Conn) {
	began := time.Now()
	frame, err := readFrame(conn)
	storeMax(&r.counters.longestFrame, int64(time.Since(began)))
	if errors.Is(err, errLength) && !strings.HasSuffix(err.Error(), ": 0") {
		waitForClose(conn) // it waits for the announced number of bytes
	}
	if err != nil {
		r.closeAndForget(conn)
		return
	}
	r.counters.bytesIn[RequestSocket].Add(uint64(len(frame) + 4))
	r.control.hang.waitWhileStalled(r.quit)
	select {
	case r.slots <- struct{}{}:
	case <-r.quit:
		r.closeAndForget(conn)
		return
	}
	r.goRun(func() {
		defer func() {
			<-r.slots
			r.closeAndForget(conn)
			r.changes.notifyAll()
		}()
		if text := r.answerRequest(frame); text != nil {
			r.writeAnswers(RequestSocket, &r.daemon, conn, text)
		}
	})
}

// answerRequest answers "ID QUESTION", or JSON. Nil means no answer.
func (r *remoted) answerRequest(frame []byte) []byte {
	if frame[0] == '{' {
		r.counters.commands.Add(1)
		return []byte(r.answerCommand(frame))
	}
	if r.cfg.isWazuh5() && r.cfg.Wazuh5.NoLegacy {
		return []byte("err Legacy delivery disabled")
	}
	agent, question, is := bytes.Cut(frame, []byte(" "))
	if _, known := r.keys.Load().ByID(agent); !is || !known {
		r.counters.unknown.Add(1)
		return nil
	}
	r.counters.requests.Add(1)
	if r.cfg.isWazuh5() && r.isAgentOf5(parseID(string(agent))) {
		r.counters.requests5.Add(1)
	}
	storeMax(&r.counters.mostInFlight, r.counters.inFlight.Add(1))
	defer r.counters.inFlight.Add(-1)
	r.changes.notifyAll()
	return r.askAgent(string(agent), question)
}

// askAgent sends a request to an agent and waits for its answer, even if the
// client has left.
func (r *remoted) askAgent(agent string, question []byte) []byte {
	p := r.findPeer(agent)
	counter := r.counter.nextID()
	heard := make(chan []byte, 1)
	r.asked.Store(counter, heard)
	defer r.asked.Delete(counter)
	if p == nil || r.sendPayload(p, fmt.Appendf(nil, "#!-req %s %s", counter, question)) != nil {
		r.counters.notSent.Add(1)
		return []byte("err Cannot send request")
	}
	r.messageCounters.requests.Add(1)
	p.counters.requests.Add(1)
	patience := time.NewTimer(r.cfg.ResponseTimeout)
	defer patience.Stop()
	select {
	case text := <-heard:
		r.counters.answered.Add(1)
		return text
	case <-patience.C:
	case <-r.quit:
		return nil
	}
	r.counters.timedOut.Add(1)
	return []byte("err Response timeout")
}

// handleAnswer passes "COUNTER ANSWER" of an agent to the request that waits
// for it.
func (r *remoted) handleAnswer(said []byte) {
	counter, text, is := bytes.Cut(said, []byte(" "))
	if !is {
		return
	}
	if heard, waits := r.asked.LoadAndDelete(string(counter)); waits {
		heard.(chan []byte) <- bytes.Clone(text)
	}
}
