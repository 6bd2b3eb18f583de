package agentsim

import (
	"bytes"
	"math"
	"slices"
	"time"
)

// Over UDP an answer is repeated until the manager confirms it: Wazuh's defaults
// for an agent (agent.request_rto_sec, agent.max_attempts, agent.request_pool
// in its internal_options.conf).
const (
	answerRepeat   = time.Second
	answerAttempts = 4
	answersAtOnce  = 8
)

var (
	confirmation = []byte("ack")
	getState     = []byte("agent getstate")
)

// pendingAnswer is an answer that the manager has not confirmed yet.
type pendingAnswer struct {
	counter []byte // of the request
	text    []byte
	next    time.Duration // time of the next repetition
	left    int           // repetitions left
}

// handleRequest handles "COUNTER QUESTION". Over UDP a request is first
// confirmed, and one that is repeated meanwhile is confirmed again and not
// answered twice.
func (s *session) handleRequest(rest []byte) endReason {
	counter, question, ok := bytes.Cut(rest, []byte(" "))
	if !ok || len(counter) == 0 {
		s.handleUnknown()
		return notEnded
	}
	same := func(a pendingAnswer) bool { return bytes.Equal(a.counter, counter) }
	if bytes.Equal(question, confirmation) {
		s.waiting = slices.DeleteFunc(s.waiting, same)
		return notEnded
	}
	if !s.fleet.stream {
		if end := s.sendMessage(func(b []byte) []byte { return appendReply(b, counter, confirmation) }); end != notEnded {
			return end
		}
		if slices.ContainsFunc(s.waiting, same) || len(s.waiting) == answersAtOnce {
			return notEnded
		}
	}
	text := s.answerRequest(question)
	s.fleet.counters.requests.Add(1)
	if !s.fleet.stream {
		s.waiting = append(s.waiting, pendingAnswer{
			counter: bytes.Clone(counter), text: text,
			next: s.fleet.elapsed() + answerRepeat, left: answerAttempts - 1,
		})
	}
	return s.sendMessage(func(b []byte) []byte { return appendReply(b, counter, text) })
}

// answerRequest returns the answer of a stock agent; the errors are those of
// remoted-requests.txt.
func (s *session) answerRequest(question []byte) []byte {
	switch {
	case bytes.Equal(question, getState):
		return s.appendState(make([]byte, 0, 192))
	case bytes.HasPrefix(question, []byte("agent ")):
		return []byte("err Unrecognized command")
	}
	return []byte("err No such file or directory")
}

// repeatAnswers sends the answers whose repetition is due, and returns the
// time of the next one.
func (s *session) repeatAnswers(now time.Duration) (next time.Duration, end endReason) {
	next = math.MaxInt64
	for i := range s.waiting {
		a := &s.waiting[i]
		if now >= a.next {
			a.left--
			a.next = now + answerRepeat
			if end = s.sendMessage(func(b []byte) []byte { return appendReply(b, a.counter, a.text) }); end != notEnded {
				return 0, end
			}
		}
		next = min(next, a.next)
	}
	s.waiting = slices.DeleteFunc(s.waiting, func(a pendingAnswer) bool { return a.left == 0 })
	return next, notEnded
}

func appendReply(b, counter, text []byte) []byte {
	b = append(append(b, request...), counter...)
	return append(append(b, ' '), text...)
}
