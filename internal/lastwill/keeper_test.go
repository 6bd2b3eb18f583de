package lastwill

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestALossIsAnnouncedOnceWhenTheWillIsNotRenewed(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			s := startServers(t, n, "a", "later")
			a := s.serve("a", 0)
			s.renewAndWait(a, "first")
			s.renewAndWait(a, "lost")
			began := time.Now()
			a.stop(false)
			m := s.waitForAnnouncement()
			if string(m.Data) != "lost" || m.Header.Get("Pulse-Signature") != "of lost" {
				t.Errorf("announced %s with %v", m.Data, m.Header)
			}
			if took := time.Since(began); took < quick.delay-time.Second || took > quick.delay+10*time.Second {
				t.Errorf("it took %v", took)
			}
			// The will of another node comes when that of the first would have come again.
			later := s.serve("later", 0)
			s.renewAndWait(later, "later")
			later.stop(false)
			if m := s.waitForAnnouncement(); string(m.Data) != "later" {
				t.Errorf("announced %s", m.Data)
			}
			s.wantStored("lost", "later")
		})
	}
}

// wantStored checks what the stream of alerts has, with the signature that it was stored with.
func (s *servers) wantStored(texts ...string) {
	s.Helper()
	var c jetstream.Consumer
	s.try(func(ctx context.Context) (err error) {
		c, err = s.js.OrderedConsumer(ctx, "STATUS", jetstream.OrderedConsumerConfig{FilterSubjects: []string{lostAlerts}})
		return err
	})
	for _, text := range texts {
		var m jetstream.Msg
		s.try(func(ctx context.Context) (err error) {
			m, err = c.Next(jetstream.FetchContext(ctx))
			return err
		})
		if string(m.Data()) != text || m.Headers().Get("Pulse-Signature") != "of "+text {
			s.Errorf("stored %s with %v, want %s", m.Data(), m.Headers(), text)
		}
	}
	var stream jetstream.Stream
	s.try(func(ctx context.Context) (err error) {
		stream, err = s.js.Stream(ctx, "STATUS")
		return err
	})
	if n := stream.CachedInfo().State.Msgs; n != uint64(len(texts)) {
		s.Errorf("stored %d messages, want %d", n, len(texts))
	}
}

func TestANodeThatStopsOrHasPeersWithdrawsItsWill(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1, "stops", "peers", "later")
	stops, peers := s.serve("stops", 0), s.serve("peers", 0)
	s.renewAndWait(stops, "lost")
	s.renewAndWait(peers, "lost")
	stops.stop(true)
	peers.Renew(nil)
	s.waitForWill("stops", "")
	s.waitForWill("peers", "")
	later := s.serve("later", 0)
	s.renewAndWait(later, "later")
	later.stop(false)
	if m := s.waitForAnnouncement(); string(m.Data) != "later" {
		t.Errorf("announced %s", m.Data)
	}
	s.wantStored("later")
}

func TestANodeThatReturnsFindsThatItsLossWasAnnounced(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1, "a")
	a := s.serve("a", 0)
	s.renewAndWait(a, "lost")
	a.stop(false)
	s.waitForAnnouncement()
	b := s.serve("a", 0) // after a restart
	b.Renew(&Will{Data: []byte("the announced one")})
	number := <-b.returned
	b.Renew(&Will{Data: []byte("next")}) // not before the return is announced
	select {
	case n := <-b.returned:
		t.Errorf("returned again, from %d", n)
	default:
	}
	b.Confirm(number)
	s.waitForWill("a", "next")
	b.stop(true)
	c := s.serve("a", number) // knows that its return was announced
	s.renewAndWait(c, "third")
	c.stop(true)
	if len(c.returned) != 0 {
		t.Error("a return is announced twice")
	}
	if err := s.js.DeleteStream(patient(t), StreamName("a")); err != nil {
		t.Fatal(err)
	}
	s.makeStream(StreamConfig("a"))
	d := s.serve("a", number)
	s.renewAndWait(d, "in a new stream")
	if len(d.returned) != 0 {
		t.Error("a new stream looks like a loss")
	}
}

func TestAServerThatWasAwayAnnouncesNoLoss(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1, "a", "later")
	a := s.serve("a", 0, func(t *timing) { t.delay = time.Second })
	s.renewAndWait(a, "lost")
	renewed := time.Now()
	s.all[0].Shutdown()
	s.all[0].WaitForShutdown()
	<-time.After(time.Until(renewed.Add(quickMaxAge + time.Second))) // by the server's clock the will is over
	s.start(0)
	for ctx := patient(t); s.nc.Status() != nats.CONNECTED; {
		if ctx.Err() != nil {
			t.Fatal("not connected")
		}
		_ = s.nc.FlushWithContext(ctx)
	}
	later := s.serve("later", 0, func(t *timing) { t.delay = time.Second })
	s.renewAndWait(later, "later")
	later.stop(false)
	if m := s.waitForAnnouncement(); string(m.Data) != "later" {
		t.Errorf("announced %s", m.Data)
	}
	s.wantStored("later")
}

func TestAServerThatCannotKeepAWillIsLogged(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1)
	s.makeStream(jetstream.StreamConfig{Name: StreamName("plain"), Subjects: []string{Subject("plain"), LostSubject("plain")}})
	plain, missing := s.serve("plain", 0), s.serve("missing", 0)
	plain.Renew(&Will{Data: []byte("lost")})
	missing.Renew(&Will{Data: []byte("lost")})
	plain.log.WaitForLine(t, "schedules no messages in the stream PULSE_WILLS_plain")
	missing.log.WaitForLine(t, "has no stream PULSE_WILLS_missing")
	s.makeStream(StreamConfig("missing"))
	s.waitForWill("missing", "lost")
	missing.log.WaitForLine(t, "keeps this node's last will")
}

// FuzzAnswer checks that no answer of a server is taken for a stored will by mistake.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"stream":"PULSE_WILLS_a","seq":1}`))
	f.Add([]byte(`{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 7"}}`))
	f.Add([]byte(`{"error":{"code":400,"err_code":10071,"description":"wrong last sequence"},"stream":"x"}`))
	f.Add([]byte(`{`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := parseAnswer(data, ""); err != nil && err.Error() == "" {
			t.Error("no reason")
		}
	})
}
