package agentsim

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestARefusedAgentComesBack(t *testing.T) {
	m := newManager(t, 1)
	m.refuse.Store(3)
	cfg := m.config()
	cfg.Manager, cfg.Retry = m.listen(), 20*time.Millisecond
	f := newFleet(t, cfg)
	start(t, f)
	m.await("001", saysStarted)
	if s := f.Stats(); s.Refused != 3 || s.Reconnects != 0 {
		t.Errorf("refused %d, reconnects %d", s.Refused, s.Reconnects)
	}
}

func TestAnAgentWaitsForItsManagerToStart(t *testing.T) {
	m := newManager(t, 1)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	addr := ln.Addr().String()
	ln.Close()
	cfg := m.config()
	cfg.Manager, cfg.Retry = addr, 20*time.Millisecond
	f := newFleet(t, cfg)
	dial, refused := f.dial, make(chan struct{}, 1)
	f.dial = func(ctx context.Context) (net.Conn, error) {
		c, err := dial(ctx)
		if err != nil {
			select {
			case refused <- struct{}{}:
			default:
			}
		}
		return c, err
	}
	start(t, f)
	<-refused
	ln, err = net.Listen("tcp", addr)
	must(t, err)
	m.serveListener(ln)
	m.await("001", saysStarted)
}

func TestRetriesSlowDownToTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, newManager(t, 1).config())
		var dials []time.Time
		f.dial = func(context.Context) (net.Conn, error) {
			dials = append(dials, time.Now())
			return nil, errors.New("connection refused")
		}
		stop := start(t, f)
		time.Sleep(2 * time.Minute) // on fake time
		stop()
		shortest, longest := time.Hour, time.Duration(0)
		for i := range dials[1:] {
			wait := dials[i+1].Sub(dials[i])
			shortest, longest = min(shortest, wait), max(longest, wait)
		}
		if shortest < 500*time.Millisecond || shortest > time.Second || longest < 5*time.Second || longest > 10*time.Second {
			t.Errorf("waits from %v to %v, want from about 1 s to about 10 s", shortest, longest)
		}
	})
}

func TestALostConnectionIsReplacedAtOnceAndKeepsItsPhase(t *testing.T) {
	bubble(t, func(t *testing.T, m *manager, f *Fleet) {
		began := time.Now()
		l := m.await("001", saysStarted).from
		time.Sleep(4 * time.Second) // on fake time
		l.close()
		if h := m.await("001", saysStartup); h.from == l {
			t.Error("startup over the closed connection")
		}
		m.await("001", saysKeepAlive)
		if got := time.Since(began); got != 10*time.Second {
			t.Errorf("first keep-alive after %v, want 10 s as without the loss", got)
		}
		if s := f.Stats(); s.Lost != 1 || s.Reconnects != 1 || s.Startups != 2 {
			t.Errorf("got %+v", s)
		}
	})
}

func TestASilentManagerIsGivenUp(t *testing.T) {
	bubble(t, func(t *testing.T, m *manager, f *Fleet) {
		began := time.Now()
		l := m.await("001", saysStarted).from
		m.mute.Store(true)
		if h := m.await("001", closed); h.from != l || time.Since(began) != time.Minute {
			t.Errorf("closed after %v, want 1 min", time.Since(began))
		}
		m.await("001", closed) // the second connection: its startup is not acknowledged
		if took := time.Since(began); took != 90*time.Second {
			t.Errorf("startup given up after %v, want 30 s after 1 min", took)
		}
		m.mute.Store(false)
		m.await("001", saysStartup)
		m.await("001", saysKeepAlive)
		if s := f.Stats(); s.Silent != 1 || s.Unanswered != 1 || s.KeepAlives != 6 {
			t.Errorf("silent %d, unanswered %d, keep-alives %d", s.Silent, s.Unanswered, s.KeepAlives)
		}
	})
}

func TestAnyMessageKeepsTheManagerAlive(t *testing.T) {
	bubble(t, func(t *testing.T, m *manager, f *Fleet) {
		l := m.await("001", saysStarted).from
		m.mute.Store(true)
		for range 10 {
			time.Sleep(50 * time.Second) // on fake time
			l.send("#!-agent keepalive agent001 0")
		}
		synctest.Wait()
		if s := f.Stats(); s.Silent != 0 || s.Connected != 1 || s.Notices != 10 {
			t.Errorf("got %+v", s)
		}
	})
}

func TestForceReconnectReconnects(t *testing.T) {
	bubble(t, func(t *testing.T, m *manager, f *Fleet) {
		l := m.await("001", saysStarted).from
		l.send("#!-force_reconnect")
		if h := m.await("001", saysStartup); h.from == l {
			t.Error("startup over the old connection")
		}
		if s := f.Stats(); s.Forced != 1 {
			t.Errorf("forced %d times", s.Forced)
		}
	})
}

func TestAnAnswerOverUDPIsRepeatedUntilConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, 1)
		m.stream = false
		f := newFleet(t, m.config())
		m.pipe(f)
		t.Cleanup(m.stop)
		start(t, f)
		l := m.await("001", saysStarted).from

		l.send("#!-req 1 agent getstate")
		m.await("001", "#!-req 1 ack")
		answer := m.await("001", "#!-req 1 {").text
		l.send("#!-req 1 agent getstate") // its confirmation was lost
		m.await("001", "#!-req 1 ack")
		if got := m.next("001").text; got != answer {
			t.Errorf("repeats %q, want %q", got, answer)
		}
		l.send("#!-req 1 ack")
		m.nothing("001", 5*time.Second)

		l.send("#!-req 2 agent getstate")
		m.await("001", "#!-req 2 ack")
		for range answerAttempts {
			m.await("001", "#!-req 2 {")
		}
		m.await("001", saysKeepAlive) // gave up: nothing but keep-alives
		m.await("001", saysKeepAlive)
		if n := f.Stats().Requests; n != 2 {
			t.Errorf("%d requests answered, want 2", n)
		}
	})
}

func TestCountersGrowOverReconnectsAndRestarts(t *testing.T) {
	bubble(t, func(t *testing.T, m *manager, f *Fleet) {
		a, l := f.agents[0], m.await("001", saysStarted).from
		var sent []uint16
		look := func() {
			synctest.Wait()
			sent = append(sent, a.counter.Local)
		}
		look()
		l.close()
		m.await("001", saysStartup)
		look()
		must(t, f.Fail("001", Kill))
		must(t, f.Revive("001"))
		m.await("001", saysStarted)
		look()
		if !slices.Equal(sent, []uint16{2, 3, 5}) || a.counter.Global != uint64(f.start.Unix()) {
			t.Errorf("counters %v of %v", sent, a.counter)
		}
	})
}

func TestMistakesInTheConfigAreRefused(t *testing.T) {
	good := newManager(t, 2).config()
	for want, spoil := range map[string]func(*Config){
		"manager address": func(c *Config) { c.Manager = "nowhere" },
		"network":         func(c *Config) { c.Network = "unix" },
		"negative":        func(c *Config) { c.Notify = -1 },
		"no agent keys":   func(c *Config) { c.Keys = nil },
		"two keys":        func(c *Config) { c.Keys = append(slices.Clone(c.Keys), c.Keys[0]) },
	} {
		c := good
		spoil(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
