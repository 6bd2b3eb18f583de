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

// answer is one that the manager has not confirmed yet.
type answer struct {
	counter []byte // of the request
	text    []byte
	next    time.Duration // when to send it again
	left    int           // how often
}

// asks handles "COUNTER QUESTION". Over UDP a request is first confirmed, and
// one that comes again meanwhile is confirmed again and not answered twice.
func (s *session) asks(rest []byte) ending {
	counter, question, ok := bytes.Cut(rest, []byte(" "))
	if !ok || len(counter) == 0 {
		s.unknown()
		return goOn
	}
	same := func(a answer) bool { return bytes.Equal(a.counter, counter) }
	if bytes.Equal(question, confirmation) {
		s.waiting = slices.DeleteFunc(s.waiting, same)
		return goOn
	}
	if !s.fleet.stream {
		if end := s.send(func(b []byte) []byte { return reply(b, counter, confirmation) }); end != goOn {
			return end
		}
		if slices.ContainsFunc(s.waiting, same) || len(s.waiting) == answersAtOnce {
			return goOn
		}
	}
	text := s.answer(question)
	s.fleet.tally.requests.Add(1)
	if !s.fleet.stream {
		s.waiting = append(s.waiting, answer{
			counter: bytes.Clone(counter), text: text,
			next: s.fleet.now() + answerRepeat, left: answerAttempts - 1,
		})
	}
	return s.send(func(b []byte) []byte { return reply(b, counter, text) })
}

// answer is what a stock agent says; the errors are those of remoted-requests.txt.
func (s *session) answer(question []byte) []byte {
	switch {
	case bytes.Equal(question, getState):
		return s.state(make([]byte, 0, 192))
	case bytes.HasPrefix(question, []byte("agent ")):
		return []byte("err Unrecognized command")
	}
	return []byte("err No such file or directory")
}

// repeat sends the answers whose time has come again, and returns when the next one's will.
func (s *session) repeat(now time.Duration) (next time.Duration, end ending) {
	next = math.MaxInt64
	for i := range s.waiting {
		a := &s.waiting[i]
		if now >= a.next {
			a.left--
			a.next = now + answerRepeat
			if end = s.send(func(b []byte) []byte { return reply(b, a.counter, a.text) }); end != goOn {
				return 0, end
			}
		}
		next = min(next, a.next)
	}
	s.waiting = slices.DeleteFunc(s.waiting, func(a answer) bool { return a.left == 0 })
	return next, goOn
}

func reply(b, counter, text []byte) []byte {
	b = append(append(b, request...), counter...)
	return append(append(b, ' '), text...)
}
