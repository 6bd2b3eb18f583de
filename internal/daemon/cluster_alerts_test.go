package daemon

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/cluster"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/message"
	"github.com/wazuh-pulse/pulse/internal/ownership"
)

// outagePace has agents lost soon, and no node.
var outagePace = clusterPace{grace: 300 * time.Millisecond, beat: time.Second}

// loseFleetWhileCutOff has all agents of node one lost while it is cut off, and waits until
// it takes that for an outage.
func (f *movingFleet) loseFleetWhileCutOff(lose func()) {
	f.t.Helper()
	one := f.nodes["one"]
	f.paths["one"].Close()
	one.await("it knows that it is cut off", func() bool { return one.node.cluster().view().Status().CutOff })
	lose()
	one.await("it takes the losses for an outage", func() bool {
		h := &one.node.cluster().alerts
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.outage.reports) > 0
	})
	f.paths["one"].Open()
	one.await("it is back", func() bool {
		h := &one.node.cluster().alerts
		h.mu.Lock()
		defer h.mu.Unlock()
		return !h.isHolding()
	})
}

func (f *movingFleet) readOutages() (list []event.FleetOutageMessage) {
	f.t.Helper()
	f.readAll("wazuh.xdr.alerts.fleet_outage", func(m event.Message) { list = append(list, *m.(*event.FleetOutageMessage)) })
	return list
}

func TestAnOutageIsNoneWhoseAgentsHadMovedWhileTheNodeWasCutOff(t *testing.T) {
	t.Parallel()
	f := startFleet(t, 25, outagePace)
	f.loseFleetWhileCutOff(func() {
		f.balancer.SetRoute("", "two")
		f.balancer.CutNode("one")
	})
	f.awaitAt("two", f.ids...)
	one := f.nodes["one"]
	one.await("all of it is forwarded", func() bool { return one.node.Status().Outbox.Status.Backlog == 0 })
	if all := f.readOutages(); len(all) > 0 {
		t.Errorf("%+v", all)
	}
	f.checkNoLossAlert()
}

func TestAnOutageWhileTheNodeWasCutOffIsReportedWhenItIsBack(t *testing.T) {
	t.Parallel()
	f := startFleet(t, 25, outagePace)
	f.loseFleetWhileCutOff(func() {
		for _, id := range f.ids {
			if err := f.agents.Fail(id, agentsim.Kill); err != nil {
				t.Fatal(err)
			}
		}
	})
	var all []event.FleetOutageMessage
	f.anyNode().await("the outage", func() bool { all = f.readOutages(); return len(all) > 0 })
	if o := all[0].Outage; len(all) != 1 || o == nil || o.AgentsLost < 8 || o.ManagerNode != "one" {
		t.Errorf("%+v", all)
	}
}

// judgedView is a shared view as a test has it.
type judgedView struct {
	sharedView
	status    cluster.Status
	elsewhere map[ownership.AgentID]bool
	claims    map[ownership.AgentID][]ownership.Owner
	later     map[ownership.AgentID]ownership.Owner
}

func (v *judgedView) Status() cluster.Status { return v.status }

func (v *judgedView) Elsewhere(id ownership.AgentID) (o ownership.Owner, ok bool) {
	return o, v.elsewhere[id]
}

func (v *judgedView) LaterClaim(id ownership.AgentID) (o ownership.Owner, ok bool) {
	o, ok = v.later[id]
	return o, ok
}

func (v *judgedView) Claims(id ownership.AgentID) []ownership.Owner { return v.claims[id] }

// judge is a node that gets decisions, and what it publishes of them.
type judge struct {
	*clusterPart
	view      *judgedView
	published []message.Record
}

type silentLink struct{ link }

func (silentLink) OnDecision(*message.Record) {}

func newJudge() *judge {
	j := &judge{view: &judgedView{elsewhere: make(map[ownership.AgentID]bool), claims: make(map[ownership.AgentID][]ownership.Owner)}}
	j.clusterPart = &clusterPart{node: "one", shared: j.view, link: silentLink{}}
	j.alerts = heldAlerts{byAgent: make(map[detector.AgentID]heldAlert), put: func(r message.Record) { j.published = append(j.published, r) }}
	j.cutOff(true)
	return j
}

func (j *judge) cutOff(cutOff bool) {
	j.view.status = cluster.Status{Loaded: true, CutOff: cutOff, Since: time.Now().Add(time.Hour), Position: 100}
}

func (j *judge) lose(n int) {
	for id := range n {
		j.decide(detector.Decision{Verdict: detector.Changed, ID: detector.AgentID(id + 1), To: detector.Disconnected, Reason: detector.ConnectionLost})
	}
}

func (j *judge) report(v detector.Verdict, lost, back int) {
	j.decide(detector.Decision{Verdict: v, Fleet: &detector.Fleet{Lost: lost, Closed: lost, Back: back}})
}

func (j *judge) decide(d detector.Decision) {
	r := message.Record{Decision: d, Group: &message.Group{AlertThreshold: 15}}
	if !j.holdAlert(&r) && d.Verdict != detector.Changed {
		j.published = append(j.published, r)
	}
}

func (j *judge) want(t *testing.T, lost ...int) {
	t.Helper()
	var got []int
	for _, r := range j.published {
		n := r.Fleet.Lost
		if r.Verdict == detector.OutageEnded {
			n = -n
		}
		got = append(got, n)
	}
	if len(got) != len(lost) {
		t.Fatalf("outages %v are reported, want %v", got, lost)
	}
	for i := range got {
		if got[i] != lost[i] {
			t.Errorf("outages %v are reported, want %v", got, lost)
		}
	}
}

// Two nodes that had read nothing have claimed an agent, and this one's claim was stored later:
// the other one proves within a moment that it has the agent, if it does.
func TestAnAlertWaitsForTheProofOfANodeThatHadClaimedTheAgent(t *testing.T) {
	for name, c := range map[string]struct {
		claimed ownership.Owner
		proven  bool
		want    int // alerts, at once and when the time for the proof is over
		late    int
	}{
		"it has the agent":          {claimed: ownership.Owner{Node: "two"}, proven: true},
		"it had the agent":          {claimed: ownership.Owner{Node: "two"}, late: 1},
		"it is lost":                {claimed: ownership.Owner{Node: "two", Lost: true}, want: 1, late: 1},
		"it has lost the agent":     {claimed: ownership.Owner{Node: "two", Reason: ownership.Lost}, want: 1, late: 1},
		"no node has claimed later": {want: 1, late: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := newJudge()
				j.cutOff(false)
				if c.claimed.Node != "" {
					j.view.later = map[ownership.AgentID]ownership.Owner{1: c.claimed}
				}
				r := message.Record{Decision: detector.Decision{Verdict: detector.Changed, ID: 1, To: detector.Disconnected, Reason: detector.MissedKeepAlives}, Group: &message.Group{AlertThreshold: 1}}
				j.holdAlert(&r)
				if !r.AlertHeld {
					j.published = append(j.published, r)
				}
				j.releaseAlerts()
				if n := len(j.published); n != c.want {
					t.Errorf("%d alerts at once, want %d", n, c.want)
				}
				j.view.elsewhere[1] = c.proven
				time.Sleep(proofTime)
				j.releaseAlerts()
				if n := len(j.published); n != c.late {
					t.Errorf("%d alerts in the end, want %d", n, c.late)
				}
			})
		})
	}
}

// An outage that was decided in doubt is judged by what the others have stored of its agents.
func TestAnOutageIsJudgedByWhereItsAgentsWere(t *testing.T) {
	t.Run("they are elsewhere", func(t *testing.T) {
		j := newJudge()
		j.lose(30)
		j.report(detector.OutageBegan, 28, 0)
		j.report(detector.OutageBegan, 30, 0)
		j.cutOff(false)
		for id := range ownership.AgentID(16) {
			j.view.elsewhere[id+1] = true
		}
		j.report(detector.OutageEnded, 14, 0) // before it was judged
		j.releaseAlerts()
		j.want(t)
		j.report(detector.OutageBegan, 40, 0)
		j.report(detector.OutageEnded, 40, 40)
		j.want(t, 24, -40)
	})
	t.Run("its end comes later", func(t *testing.T) {
		j := newJudge()
		j.lose(30)
		j.report(detector.OutageBegan, 30, 0)
		j.cutOff(false)
		for id := range ownership.AgentID(30) {
			j.view.elsewhere[id+1] = true
		}
		j.releaseAlerts()
		j.report(detector.OutageEnded, 0, 0)
		j.want(t)
	})
	t.Run("they were elsewhere, and are back", func(t *testing.T) {
		j := newJudge()
		j.lose(30)
		j.report(detector.OutageBegan, 30, 0)
		j.report(detector.OutageEnded, 30, 30)
		j.cutOff(false)
		for id := range ownership.AgentID(30) {
			j.view.claims[id+1] = []ownership.Owner{{Node: "one", Order: 200}, {Node: "two", Order: 150}}
		}
		j.releaseAlerts()
		j.want(t)
	})
	t.Run("they were nowhere", func(t *testing.T) {
		j := newJudge()
		j.lose(30)
		j.report(detector.OutageBegan, 30, 0)
		j.report(detector.OutageEnded, 30, 30)
		j.cutOff(false)
		for id := range ownership.AgentID(30) {
			j.view.claims[id+1] = []ownership.Owner{{Node: "two", Order: 90}, {Node: "three", With: "one", Reason: ownership.Lost, Order: 150}}
		}
		j.releaseAlerts()
		j.want(t, 30, -30)
	})
	t.Run("some of them are elsewhere", func(t *testing.T) {
		j := newJudge()
		j.lose(30)
		j.report(detector.OutageBegan, 30, 0)
		j.cutOff(false)
		for id := range ownership.AgentID(10) {
			j.view.elsewhere[id+1] = true
		}
		j.releaseAlerts()
		j.report(detector.OutageEnded, 20, 15)
		j.want(t, 20, -20)
	})
	t.Run("it is reported when the doubt is over", func(t *testing.T) {
		j := newJudge()
		j.lose(30)
		j.cutOff(false)
		for id := range ownership.AgentID(30) {
			j.view.elsewhere[id+1] = true
		}
		j.releaseAlerts()
		j.report(detector.OutageBegan, 30, 0)
		j.report(detector.OutageEnded, 0, 0)
		j.want(t)
	})
	t.Run("there was no doubt", func(t *testing.T) {
		j := newJudge()
		j.cutOff(false)
		j.lose(30)
		j.report(detector.OutageBegan, 30, 0)
		j.cutOff(true)
		j.report(detector.OutageEnded, 30, 16)
		j.want(t, 30)
		j.cutOff(false)
		j.releaseAlerts()
		j.want(t, 30, -30)
	})
}
