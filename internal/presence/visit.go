package presence

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/internal/remote"
)

// visit is a watcher's work on one session. It is for one goroutine.
type visit struct {
	*Watcher
	session  *remote.Session
	result   chan<- error // of Admit; one value
	received chan *nats.Msg
	stated   time.Time // when the last statement went out
	answer   *time.Timer
	admitted bool // this session is
	heardAll bool // there was time enough for statements of others
}

// receivedMax is how many statements may wait to be read; others are dropped, and come again.
const receivedMax = 256

func (v *visit) run() {
	v.received = make(chan *nats.Msg, receivedMax)
	v.answer = time.NewTimer(time.Hour)
	defer v.answer.Stop()
	wait, err := v.join()
	if refused := (*refusal)(nil); errors.As(err, &refused) {
		v.setUnknown(refused.error)
		v.result <- nil
		return
	}
	if err != nil {
		v.result <- err
		return
	}
	v.setUnknown(nil)
	defer v.end()
	v.watch(wait)
}

// refusal is the server's of a subject, without which nothing is known of others.
type refusal struct{ error }

func (v *visit) setUnknown(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.unknown = err
	if err != nil {
		v.markSettled()
		v.others, v.since, v.held = nil, time.Time{}, false
	}
}

// join asks for other nodes and becomes one of those who answer. It returns how long
// to wait for answers: the server answers at once where there is no other subscriber.
func (v *visit) join() (wait time.Duration, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), v.timing.answer)
	defer cancel()
	v.mu.Lock()
	v.others.renew(time.Now())
	publishing := v.sessions > 0
	v.mu.Unlock()
	wait = v.timing.settle
	if publishing { // the files of the login have changed: the session before is still there
		wait = 0
	} else if alone, err := v.askForOthers(ctx); err != nil {
		return 0, err
	} else if alone {
		wait = v.timing.alone
	}
	subject := Subject(v.cfg.Node)
	if _, err := v.session.Conn.ChanSubscribe(subject, v.received); err != nil {
		return 0, err
	}
	if err := v.state(func(s *Statement) { s.Question = true }); err != nil {
		return 0, err
	}
	if err := v.session.RoundTrip(ctx); err != nil {
		return 0, err
	}
	if err := v.session.TakeSubscribeRefusal(subject); err != nil {
		return 0, &refusal{err}
	}
	if err := v.session.TakeRefusal(subject); err != nil {
		return 0, &refusal{err}
	}
	return wait, nil
}

// askForOthers reports whether the server answers that nobody else subscribes to the subject.
func (v *visit) askForOthers(ctx context.Context) (alone bool, err error) {
	nc, subject := v.session.Conn, Subject(v.cfg.Node)
	answers, err := nc.SubscribeSync(nc.NewInbox())
	if err != nil {
		return false, err
	}
	defer func() { _ = answers.Unsubscribe() }()
	if err := nc.PublishRequest(subject, answers.Subject, v.encodeStatement(func(s *Statement) { s.Question = true })); err != nil {
		return false, err
	}
	if err := v.session.RoundTrip(ctx); err != nil {
		return false, err
	}
	if err := v.session.TakeRefusal(subject); err != nil {
		return false, &refusal{err}
	}
	m, err := answers.NextMsg(time.Millisecond) // what came before the round trip ended is here
	return errors.Is(err, nats.ErrNoResponders) || err == nil && m.Header.Get("Status") == "503", nil
}

// watch admits the session when it may be used, and withdraws it when it may not any
// more. It ends with the session, and with the watcher.
func (v *visit) watch(wait time.Duration) {
	settled := time.NewTimer(wait)
	defer settled.Stop()
	period := time.NewTicker(v.timing.period)
	defer period.Stop()
	for {
		select {
		case m := <-v.received:
			v.takeMessage(m)
		case <-v.answer.C:
			_ = v.state(nil) // a connection that fails ends the session
		case <-period.C:
			_ = v.state(nil)
		case <-settled.C:
			v.heardAll = true
		case <-v.leave:
			v.sayGoodbye()
			return
		case <-v.session.Ended():
			return
		}
		v.drain()
		held := v.decide(time.Now())
		switch {
		case held && v.admitted:
			v.end()
			_ = v.state(nil)
			_ = v.session.Conn.FlushTimeout(v.timing.gap)
			v.session.End(remote.ErrWithdrawn)
			return
		case !held && v.heardAll && !v.admitted:
			v.begin()
		}
	}
}

func (v *visit) takeMessage(m *nats.Msg) {
	if v.receive(m.Data, time.Now()) {
		v.answer.Reset(time.Until(v.stated.Add(v.timing.gap)))
	}
}

// drain takes what is here already, since all of it counts for the decision.
func (v *visit) drain() {
	for range len(v.received) {
		v.takeMessage(<-v.received)
	}
}

// begin admits the session.
func (v *visit) begin() {
	v.admitted = true
	v.mu.Lock()
	v.sessions++
	v.markSettled()
	v.mu.Unlock()
	_ = v.state(nil)
	v.result <- nil
}

// end takes the session's admission back.
func (v *visit) end() {
	if !v.admitted {
		return
	}
	v.admitted = false
	v.mu.Lock()
	v.sessions--
	v.mu.Unlock()
}

func (v *visit) state(change func(*Statement)) error {
	v.stated = time.Now()
	return v.session.Conn.Publish(Subject(v.cfg.Node), v.encodeStatement(change))
}

// sayGoodbye lets the next node of the name begin at once.
func (v *visit) sayGoodbye() {
	v.end()
	if v.state(func(s *Statement) { s.Leaving = true }) == nil {
		_ = v.session.Conn.FlushTimeout(v.timing.answer)
	}
}
