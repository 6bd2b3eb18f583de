package listen

import (
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/rawio"
	"golang.org/x/sys/unix"
)

func TestMessagesAreGatheredWhileManyArrive(t *testing.T) {
	tests := []struct {
		name   string
		events int // in a period of that length
		period time.Duration
		busy   bool
	}{
		{"none", 0, meterPeriod, false},
		{"of 2 000 agents with a keep-alive each 10 s", 20, meterPeriod, false},
		{"fewer than two for each gather time", busyEvents - 1, meterPeriod, false},
		{"of 10 000 agents", 100, meterPeriod, true},
		{"as many, over a longer time", 100, 10 * meterPeriod, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			now := time.Now()
			m := loadMeter{since: now}
			m.addEvents(test.events)
			if m.isBusy(now.Add(test.period - 1)) {
				t.Error("busy before the period is over")
			}
			if busy := m.isBusy(now.Add(test.period)); busy != test.busy {
				t.Errorf("busy: %v", busy)
			}
			if m.isBusy(now.Add(test.period + meterPeriod)) {
				t.Error("busy after a period without events")
			}
		})
	}
}

// newPollerOfOne returns a poller of one connection, and the far end of that.
func newPollerOfOne(t *testing.T) (p *poller, near, far int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if p, err = newPoller(); err == nil {
		err = p.addConn(&conn{poller: p, writer: writeBuffer{fd: fds[0]}})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.close()
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	})
	return p, fds[0], fds[1]
}

// Whatever the gate waits for when a message arrives, and whatever it waits for next.
func TestEveryMessageIsReadWhetherGatheredOrNot(t *testing.T) {
	p, near, far := newPollerOfOne(t)
	send := func() {
		if _, err := rawio.Write(far, []byte("x")); err != nil {
			t.Error(err)
		}
	}
	for _, busy := range []bool{false, true, true, false, false, true, false} {
		for _, before := range []bool{true, false} { // it arrives before the wait begins
			p.load = loadMeter{busy: busy, since: time.Now().Add(time.Hour)} // stays as it is
			sent := make(chan struct{})
			if before {
				send()
				close(sent)
			} else {
				go func() { send(); close(sent) }()
			}
			events, err := p.waitForEvents()
			if err != nil || len(events) != 1 || events[0].Fd != int32(near) {
				t.Fatalf("busy %v, before %v: %v, %v", busy, before, events, err)
			}
			<-sent
			if n, err := rawio.Read(near, make([]byte, 2)); n != 1 || err != nil {
				t.Fatalf("read %d, %v", n, err)
			}
		}
	}
}

func TestAClosedPollerWaitsForNothing(t *testing.T) {
	for _, busy := range []bool{false, true} {
		p, _, _ := newPollerOfOne(t)
		p.load = loadMeter{busy: busy, since: time.Now().Add(time.Hour)}
		go p.close()
		if events, err := p.waitForEvents(); err == nil {
			t.Errorf("busy %v: %v", busy, events)
		}
	}
}

func TestAPollerIsClosedWhileItsReaderBeginsToGather(t *testing.T) {
	for range 100 {
		p, err := newPoller()
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for on := true; p.setGathering(on) == nil; on = !on {
			}
		}()
		p.close()
		<-ended
	}
}
