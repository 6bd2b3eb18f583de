package detector

import (
	"errors"
	"time"
)

// Why an agent is not asked out of turn, or has not answered.
var (
	ErrUnknownAgent = errors.New("unknown agent")
	ErrNotConnected = errors.New("the agent is not connected")
	ErrNoKeepAlives = errors.New("keep-alives to this agent are disabled")
	ErrNoAnswers    = errors.New("keep-alives have no answer with this method")
	ErrUnanswered   = errors.New("the keep-alive was not answered in time")
)

// hastenAgain is for how long an answer stands: who asks for another meanwhile
// gets the same one, so that an agent hears of many who ask as little as of one.
const hastenAgain = time.Second

// Answer is an answered keep-alive.
type Answer struct {
	SentAt Instant
	RTT    time.Duration
}

// Probe is what came of asking an agent out of turn.
type Probe struct {
	Token    uint32 // names the keep-alive that serves
	Answered bool   // it is answered already
	Answer   Answer // then
}

// ProbeNow makes the agent's keep-alive due now. One that is out already serves,
// and so does one that was answered a moment ago.
func (t *Table) ProbeNow(id AgentID, now Instant) (Probe, error) {
	slot, ok := t.slots.get(id)
	if !ok {
		return Probe{}, ErrUnknownAgent
	}
	s := &t.state[slot]
	switch {
	case t.groupOf(s).Interval == 0:
		return Probe{}, ErrNoKeepAlives
	case t.set.Method != Request:
		return Probe{}, ErrNoAnswers
	}
	if t.due[slot] <= now {
		t.settle(slot, now)
	}
	defer t.judge(now)
	switch {
	case !s.watched() || s.has(closed|restored):
		return Probe{}, ErrNotConnected
	case s.has(answered) && now.Sub(s.sentAt) < hastenAgain:
		return Probe{Token: s.token, Answered: true,
			Answer: Answer{SentAt: s.sentAt, RTT: time.Duration(s.rtt) * time.Microsecond}}, nil
	case !s.has(probing):
		t.send(slot, now)
		t.attend(slot, s.act)
	}
	return Probe{Token: s.token}, nil
}
