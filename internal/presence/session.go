package presence

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/internal/remote"
)

// sessionWatch is a watcher's state for one session. One goroutine uses it.
type sessionWatch struct {
	*Watcher
	session  *remote.Session
	result   chan<- error // of Admit; one value
	received chan *nats.Msg
	stated   time.Time // when the last statement went out
	answer   *time.Timer
	admitted bool // the node may publish on this session
	waited   bool // long enough for statements of others
}

// receivedMax is how many statements may wait to be read; more are dropped, and are repeated.
const receivedMax = 256

func (v *sessionWatch) run() {
	v.received = make(chan *nats.Msg, receivedMax)
	v.answer = time.NewTimer(time.Hour)
	defer v.answer.Stop()
	wait, err := v.joinNodes()
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
	defer v.withdrawSession()
	v.watchOthers(wait)
}

// refusal is the server's refusal of a subject, without which nothing is known of others.
type refusal struct{ error }

func (v *sessionWatch) setUnknown(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.unknown = err
	if err != nil {
		v.markSettled()
		v.others, v.since, v.held = nil, time.Time{}, false
	}
	v.signalChange()
}

// joinNodes asks for other nodes and subscribes to their requests. It returns how long to
// wait for answers: the server answers at once where there is no other subscriber.
func (v *sessionWatch) joinNodes() (wait time.Duration, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), v.timing.answer)
	defer cancel()
	v.mu.Lock()
	v.others.renewDeadlines(time.Now())
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
	if err := v.publishStatement(func(s *Statement) { s.Question = true }); err != nil {
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
func (v *sessionWatch) askForOthers(ctx context.Context) (alone bool, err error) {
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

// watchOthers admits the session when the node may publish, and withdraws it when it may
// no longer. It returns when the session or the watcher ends.
func (v *sessionWatch) watchOthers(wait time.Duration) {
	settled := time.NewTimer(wait)
	defer settled.Stop()
	period := time.NewTicker(v.timing.period)
	defer period.Stop()
	for {
		select {
		case m := <-v.received:
			v.recordMessage(m)
		case <-v.answer.C:
			_ = v.publishStatement(nil) // a connection that fails ends the session
		case <-period.C:
			_ = v.publishStatement(nil)
		case <-settled.C:
			v.waited = true
		case <-v.closing:
			v.publishLeaving()
			return
		case <-v.session.Ended():
			return
		}
		v.drainReceived()
		held := v.decideHeld(time.Now())
		switch {
		case held && v.admitted:
			v.withdrawSession()
			_ = v.publishStatement(nil)
			_ = v.session.Conn.FlushTimeout(v.timing.gap)
			v.session.End(remote.ErrWithdrawn)
			return
		case !held && v.waited && !v.admitted:
			v.admitSession()
		}
	}
}

func (v *sessionWatch) recordMessage(m *nats.Msg) {
	if v.recordStatement(m.Data, time.Now()) {
		v.answer.Reset(time.Until(v.stated.Add(v.timing.gap)))
	}
}

// drainReceived records what has been received already: all of it counts for the decision.
func (v *sessionWatch) drainReceived() {
	for range len(v.received) {
		v.recordMessage(<-v.received)
	}
}

// admitSession makes Admit return nil: the node may publish on the session.
func (v *sessionWatch) admitSession() {
	v.admitted = true
	v.mu.Lock()
	v.sessions++
	v.markSettled()
	v.signalChange()
	v.mu.Unlock()
	_ = v.publishStatement(nil)
	v.result <- nil
}

// withdrawSession revokes the admission of the session.
func (v *sessionWatch) withdrawSession() {
	if !v.admitted {
		return
	}
	v.admitted = false
	v.mu.Lock()
	v.sessions--
	v.signalChange()
	v.mu.Unlock()
}

func (v *sessionWatch) publishStatement(change func(*Statement)) error {
	v.stated = time.Now()
	return v.session.Conn.Publish(Subject(v.cfg.Node), v.encodeStatement(change))
}

// publishLeaving publishes that the node is leaving, so that the next one of the name
// starts at once.
func (v *sessionWatch) publishLeaving() {
	v.withdrawSession()
	if v.publishStatement(func(s *Statement) { s.Leaving = true }) == nil {
		_ = v.session.Conn.FlushTimeout(v.timing.answer)
	}
}
