package roster

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/event"
)

// What was written on a connection is not read before it is written again; what somebody else
// wrote meanwhile is.
func TestAValueIsReadBeforeAWriteOnlyWhereItsRevisionIsNotKnown(t *testing.T) {
	x := newXDR(t)
	nc, err := nats.Connect(x.url())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	var reads atomic.Int64
	_, err = nc.Subscribe("$JS.API.DIRECT.GET.KV_"+event.AgentsBucket+".*.*.001", func(m *nats.Msg) {
		if strings.HasPrefix(m.Reply, "_INBOX.node01.") {
			reads.Add(1)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	js := connectClient(t, x.url())
	first := newNode(t, "node01", x.url())
	first.startRoster()
	for i := range int64(5) {
		first.publishChanges(activeChange("001", 100+i))
		waitForAgent(t, js, "001", hasSince(100+i))
	}
	if n := reads.Load(); n > 0 {
		t.Errorf("read %d times in an empty bucket", n)
	}

	second := newNode(t, "node02", x.url())
	second.startRoster()
	second.publishChanges(activeChange("001", 200))
	waitForAgent(t, js, "001", hasSince(200))
	first.publishChanges(lostChange("001", 210, 104)) // it has left the node before
	first.waitForStats(func(s Stats) bool { return s.Outdated == 1 })
	if reads.Load() == 0 {
		t.Error("a value that has changed was not read")
	}
	if s, _ := readAgent(t, js, "001"); s == nil || s.Node != "node02" || s.Since != 200 {
		t.Errorf("%+v", s)
	}
	first.publishChanges(activeChange("001", 300))
	waitForAgent(t, js, "001", hasSince(300))
}

func TestNoMoreRevisionsAreRememberedThanRoomIsFor(t *testing.T) {
	r := revisions{of: make(map[string]uint64), complete: true}
	for i := range revisionsMax + 1 {
		r.setRevision(fmt.Sprintf("%03d", i), uint64(i+1))
	}
	r.setRevision("001", 7)
	if len(r.of) != revisionsMax {
		t.Errorf("%d revisions", len(r.of))
	}
	if revision, known := r.findRevision("001"); revision != 7 || !known {
		t.Errorf("revision %d, %v", revision, known)
	}
	if _, known := r.findRevision(fmt.Sprintf("%03d", revisionsMax)); known {
		t.Error("one that is not remembered counts as never written")
	}
	r.forgetRevision("001")
	if _, known := r.findRevision("001"); known {
		t.Error("a revision that has changed is still known")
	}
}
