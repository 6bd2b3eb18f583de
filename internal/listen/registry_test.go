package listen

import (
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

// quietPeer is a peer as a connection makes it, without a connection.
func quietPeer(t *testing.T, r *registry, id string, overTCP bool, seen detector.Instant) *peer {
	t.Helper()
	key, ok := r.keys.ByID([]byte(id))
	if !ok {
		t.Fatalf("no agent %s", id)
	}
	var c *conn
	if overTCP {
		c = new(conn)
	}
	p, err := newPeer(key, c, netip.AddrPort{}, cipherOf(key, secmsg.AES))
	if err != nil {
		t.Fatal(err)
	}
	p.history = new(history)
	p.lastSeen.Store(int64(seen))
	return p
}

func at(now detector.Instant) func() detector.Instant {
	return func() detector.Instant { return now }
}

func isRefused(err error, why refusal) bool {
	r, ok := errors.AsType[*refused](err)
	return ok && r.why == why
}

func TestASilentConnectionIsTakenOver(t *testing.T) {
	start := detector.Instant(time.Hour)
	for _, c := range []struct {
		silence time.Duration
		over    bool
	}{{0, false}, {59 * time.Second, false}, {overtakeTime - 1, false}, {overtakeTime, true}, {time.Hour, true}} {
		t.Run(c.silence.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRegistry(readKeys(t, keyFile))
				first, second := quietPeer(t, r, "001", true, start), quietPeer(t, r, "001", true, start)
				if _, err := r.enter(first, start); err != nil {
					t.Fatal(err)
				}
				old, err := r.await(second, at(start.Add(c.silence)))
				if c.over && (err != nil || old != first || r.peerOf(1) != second) {
					t.Errorf("not taken over: %v", err)
				}
				if !c.over && (!isRefused(err, keyInUse) || r.peerOf(1) != first) {
					t.Errorf("taken over: %v", err)
				}
				if c.over {
					r.leave(first, func() { t.Error("the end of a connection that was replaced is reported") })
					if r.peerOf(1) != second {
						t.Error("the old connection took the new one along")
					}
				}
			})
		})
	}
}

func TestASecondConnectionWaitsForTheFirstToEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry(readKeys(t, keyFile))
		first, second := quietPeer(t, r, "001", true, 0), quietPeer(t, r, "001", true, 0)
		if _, err := r.enter(first, 0); err != nil {
			t.Fatal(err)
		}
		reported := false
		time.AfterFunc(closeTime/2, func() { r.leave(first, func() { reported = true }) })
		if old, err := r.await(second, at(0)); err != nil || old != nil || !reported {
			t.Errorf("%v, %v, end of the first reported: %v", old, err, reported)
		}
	})
}

func TestASecondConnectionWaitsAsLongAsTheEndOfTheFirstIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry(readKeys(t, keyFile))
		first, second := quietPeer(t, r, "001", true, 0), quietPeer(t, r, "001", true, 0)
		if _, err := r.enter(first, 0); err != nil {
			t.Fatal(err)
		}
		reported := false
		go r.leave(first, func() { time.Sleep(time.Minute); reported = true }) // a busy detector
		synctest.Wait()
		if _, err := r.await(second, at(0)); err != nil || !reported || r.peerOf(1) != second {
			t.Errorf("%v, end of the first reported: %v", err, reported)
		}
	})
}

func TestDatagramsDoNotWaitForAConnectionToEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry(readKeys(t, keyFile))
		if _, err := r.enter(quietPeer(t, r, "001", true, 0), 0); err != nil {
			t.Fatal(err)
		}
		before := time.Now()
		if _, err := r.await(quietPeer(t, r, "001", false, 0), at(0)); !isRefused(err, keyInUse) || time.Since(before) != 0 {
			t.Errorf("%v after %v", err, time.Since(before))
		}
	})
}

func TestAPeerThatLeavesDoesNotTakeItsSuccessorAlong(t *testing.T) {
	r := newRegistry(readKeys(t, keyFile))
	old, next := quietPeer(t, r, "001", false, 0), quietPeer(t, r, "001", true, 0)
	if _, err := r.enter(old, 0); err != nil {
		t.Fatal(err)
	}
	r.leave(old, func() {
		if _, err := r.enter(next, 0); err != nil {
			t.Error(err)
		}
	})
	if r.peerOf(1) != next {
		t.Error("the successor is gone")
	}
}

func TestNobodyEntersWithAKeyThatIsNoLongerValid(t *testing.T) {
	r := newRegistry(readKeys(t, keyFile))
	p := quietPeer(t, r, "001", true, 0)
	r.setKeys(readKeys(t, "001 web any ffff\n"))
	if _, err := r.enter(p, 0); !isRefused(err, unknownAgent) {
		t.Errorf("entered: %v", err)
	}
}
