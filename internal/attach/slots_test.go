package attach

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/remoted"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
)

// indexNetworks returns an index in which agents from 1 to last are in networks of two
// hundred each.
func indexNetworks(last int) *agentIndex {
	rows := make([]wazuhdb.Row, last)
	for i := range rows {
		id := i + 1
		rows[i] = wazuhdb.Row{ID: int64(id), Addr: netip.AddrFrom4([4]byte{10, 0, byte(id / 200), byte(id%200 + 1)}).String()}
	}
	index := new(agentIndex)
	index.replaceAll(rows)
	return index
}

// probeAll starts all requests that may be sent, and ends those of agents that are alive
// with an answer. It returns the others.
func (a *prober) probeAll(t *testing.T, lives func(detector.AgentID) bool) (hung []request, answered map[detector.AgentID]bool) {
	answered = make(map[detector.AgentID]bool)
	for {
		r, ok := a.nextSendableRequest()
		switch {
		case !ok:
			return hung, answered
		case lives(r.id):
			answered[r.id] = true
			a.finishRequest(r, 0)
		default:
			hung = append(hung, r)
		}
	}
}

// Networks whose agents hang, all of them, fill no more than a part of the places: who has just
// shown a sign of life is asked, and so are some of each network that is late.
func TestNetworksThatAreGoneLeavePlacesForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const window, agents, hungTo, lateFrom = 128, 3000, 2000, 2800
		a := newTestProber(window)
		a.index = indexNetworks(agents)
		for id := detector.AgentID(1); id <= agents; id++ {
			a.recordSignOfLife(id, time.Now())
		}
		lives := func(id detector.AgentID) bool { return id > hungTo }
		next := detector.AgentID(1)
		for second := range 60 {
			time.Sleep(time.Second)
			for id := detector.AgentID(hungTo + 1); id < lateFrom; id++ { // the last are late, and live
				if int(id)%10 == second%10 {
					a.recordSignOfLife(id, time.Now())
				}
			}
			for range agents / 60 { // as the detector spreads its keep-alives over a minute
				next = (next*1597 + 51749) % agents
				a.queueKeepAlive(next+1, uint32(second+1))
			}
			awake := detector.AgentID(hungTo + 10*((second+9)/10) + 1)
			a.recordSignOfLife(awake, time.Now())
			a.queueKeepAlive(awake, uint32(second+100))
			if second > 14 {
				a.queueKeepAlive(detector.AgentID(lateFrom+second), uint32(second+200))
			}
			_, answered := a.probeAll(t, lives)
			if !answered[awake] {
				t.Fatalf("after %d s, with %d out, one that has just shown a sign of life is not asked", second, a.inFlight)
			}
			if second > 14 && !answered[detector.AgentID(lateFrom+second)] {
				t.Fatalf("after %d s, with %d out, none of a network that is late is asked", second, a.inFlight)
			}
			if a.inFlight > window*7/8 {
				t.Fatalf("after %d s, %d are out", second, a.inFlight)
			}
		}
		networks := make(map[netip.Prefix]bool)
		for network := range a.slots.occupied {
			networks[network] = true
		}
		if len(networks) < hungTo/200 {
			t.Errorf("of %d networks that are gone, agents of %d were asked", hungTo/200, len(networks))
		}
	})
}

// What was counted for a request is not counted any more when it is over, whatever became
// of it meanwhile.
func TestPlacesAreFreeWhenRequestsAreOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTestProber(16)
		a.index = indexNetworks(40)
		for id := detector.AgentID(1); id <= 40; id++ {
			if id%2 == 0 {
				a.recordSignOfLife(id, time.Now())
			}
			a.queueKeepAlive(id, 1)
		}
		hung, _ := a.probeAll(t, func(detector.AgentID) bool { return false })
		time.Sleep(2 * stuckAfter)
		a.nextSendableRequest()
		if a.slots.stuck == 0 || a.slots.doubtful == 0 || len(a.slots.occupied) == 0 {
			t.Fatalf("%+v", a.slots)
		}
		for _, r := range hung {
			a.finishRequest(r, remoted.Silent)
			a.slots.freeSlot(r.slot) // said twice, it is free once
		}
		a.slots.findStuckRequests(time.Now())
		if p := a.slots; p.stuck != 0 || p.doubtful != 0 || len(p.occupied) != 0 || len(p.young) != 0 {
			t.Errorf("%+v", p)
		}
	})
}
