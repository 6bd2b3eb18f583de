package detector

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// network simulates the agents and the network between them and the detector: messages
// are delayed, and some are lost. It advances in ticks of a SweepPeriod, and the same
// seed gives the same events.
type network struct {
	random *rand.Rand
	table  *Table
	now    Instant

	agents   []remote
	speaking [networkRing][]int32    // by the tick: whose own keep-alive goes out then
	coming   [networkRing][]Sighting // by the tick: what arrives then

	loss  float64                    // of messages, each way
	delay func(r *rand.Rand) Instant // of a message, each way

	heard                     func(*Decision) // called with all decisions; may be nil
	said                      []Decision      // without the routine
	turns, retries, questions int             // keep-alives: by the interval, after a miss, because of suspicion
}

// remote is an agent at the other end.
type remote struct {
	gap    func(r *rand.Rand) Instant // between its own keep-alives
	next   Instant                    // when it sends the next one
	chat   Instant                    // between its events; 0: it sends none
	talks  Instant                    // when it sends the next one
	hangs  Instant                    // when it stops doing anything; never
	asked  Instant                    // when it was asked last
	missed bool                       // the last decision about it was a miss
}

const networkRing = 1024 // ticks; nothing is planned further ahead

func newNetwork(set Settings, seed uint64, loss float64, delay func(*rand.Rand) Instant, agents ...remote) *network {
	n := &network{random: rand.New(rand.NewPCG(seed, 3)), agents: agents, loss: loss, delay: delay}
	n.table = NewTable(set)
	var members []Member
	for i := range agents {
		members = append(members, Member{ID: AgentID(i + 1), Name: AgentID(i + 1).String(), IP: "any"})
	}
	n.table.SetMembers(members, 0)
	for i := range agents {
		a := &agents[i]
		n.table.Apply([]Sighting{{At: 1, ID: AgentID(i + 1), Kind: SawStartup}})
		a.next, a.hangs = 2+Instant(n.random.Int64N(int64(a.gap(n.random)))), cmp.Or(a.hangs, never)
		a.talks = a.next + a.chat/2
		n.scheduleKeepAlive(i)
	}
	n.runFor(warmUp)
	n.said, n.turns, n.retries, n.questions = nil, 0, 0, 0
	return n
}

// warmUp is until when all agents are active, and most arrival windows filled.
const warmUp = 2 * time.Minute

func tickOf(at Instant) Instant {
	return (at + Instant(SweepPeriod) - 1) / Instant(SweepPeriod) % networkRing
}

func (n *network) scheduleKeepAlive(agent int) {
	a := &n.agents[agent]
	at := a.next
	if a.chat > 0 {
		at = min(at, a.talks)
	}
	n.speaking[tickOf(at)] = append(n.speaking[tickOf(at)], int32(agent))
}

// runFor simulates a time.
func (n *network) runFor(d time.Duration) {
	for end := n.now.Add(d); n.now < end; {
		n.now = n.now.Add(SweepPeriod)
		tick := tickOf(n.now)
		for _, agent := range n.speaking[tick] {
			n.sendKeepAlive(int(agent))
		}
		n.speaking[tick] = n.speaking[tick][:0]
		slices.SortFunc(n.coming[tick], func(a, b Sighting) int { return cmp.Compare(a.At, b.At) })
		n.table.Apply(n.coming[tick])
		n.coming[tick] = n.coming[tick][:0]
		n.table.Sweep(n.now)
		for _, d := range n.table.TakeDecisions() {
			n.handleDecision(&d)
		}
	}
}

// sendKeepAlive sends an agent's own keep-alive, or its event.
func (n *network) sendKeepAlive(agent int) {
	a := &n.agents[agent]
	if a.chat > 0 && a.talks < a.next {
		n.deliverLater(agent, a.talks, Sighting{Kind: SawEvent})
		a.talks += a.chat
	} else {
		n.deliverLater(agent, a.next, Sighting{Kind: SawKeepAlive})
		a.next += a.gap(n.random)
	}
	n.scheduleKeepAlive(agent)
}

// deliverLater delivers a message of an agent after a delay, or loses it.
func (n *network) deliverLater(agent int, at Instant, s Sighting) {
	if at >= n.agents[agent].hangs || n.random.Float64() < n.loss {
		return
	}
	s.ID, s.At = AgentID(agent+1), at+n.delay(n.random)
	n.coming[tickOf(s.At)] = append(n.coming[tickOf(s.At)], s)
}

// handleDecision delivers a keep-alive to an agent and its answer back, and records
// other decisions.
func (n *network) handleDecision(d *Decision) {
	if n.heard != nil {
		n.heard(d)
	}
	if !d.Verdict.IsRoutine() {
		n.said = append(n.said, *d)
		return
	}
	a := &n.agents[d.ID-1]
	missed := a.missed
	a.missed = d.Verdict == Failed
	if d.Verdict != Send {
		return
	}
	slot, _ := n.table.slots.findAgentSlot(d.ID)
	switch set := &n.table.set; {
	case nextKeepAlive(d.At.Add(-SweepPeriod), set.Interval, slot) <= d.At:
		n.turns++
	case missed && d.At.Sub(a.asked) >= set.RetryInterval:
		n.retries++
	default:
		n.questions++
	}
	a.asked = d.At
	if n.random.Float64() >= n.loss {
		n.deliverLater(int(d.ID-1), n.now+n.delay(n.random), Sighting{Kind: SawAnswer, Token: d.Token})
	}
}

func uniformDelay(lo, hi time.Duration) func(r *rand.Rand) Instant {
	return func(r *rand.Rand) Instant { return Instant(lo) + Instant(r.Int64N(int64(hi-lo))) }
}

func steadyGaps(gap time.Duration) func(*rand.Rand) Instant {
	return func(*rand.Rand) Instant { return Instant(gap) }
}

// normalGaps is a gap with a deviation.
func normalGaps(gap, deviation time.Duration) func(*rand.Rand) Instant {
	return func(r *rand.Rand) Instant {
		return max(Instant(gap/4), Instant(gap)+Instant(r.NormFloat64()*float64(deviation)))
	}
}

// delayedGaps returns gaps that are mostly a little and sometimes much too long: a
// Pareto distribution, cut off.
func delayedGaps(gap, most time.Duration) func(*rand.Rand) Instant {
	return func(r *rand.Rand) Instant {
		late := 0.3 * (math.Pow(1-r.Float64(), -1/1.2) - 1) // seconds
		return Instant(gap) + min(Instant(most), Instant(late*float64(time.Second)))
	}
}

// An agent that hangs, at any moment between two keep-alives to it, is detected in
// under 75 s with the daemon's default settings, if its arrival window is filled and none
// of its keep-alives was lost.
func TestAHungStockAgentIsDetectedInTime(t *testing.T) {
	const bound = 75 * time.Second
	phases, lan := 600, uniformDelay(time.Millisecond, 20*time.Millisecond)
	if raceEnabled || testing.Short() {
		phases = 60
	}
	for _, tt := range []struct {
		name   string
		learns time.Duration // after the warming up
		gap    func(*rand.Rand) Instant
		chat   time.Duration
		loss   float64
		delay  func(*rand.Rand) Instant
		within time.Duration
	}{
		{"every 10 s", 0, steadyGaps(10 * time.Second), 0, 0, lan, bound},
		{"every 20 s", 0, steadyGaps(20 * time.Second), 0, 0, lan, bound},
		{"every 20 s, with an event every 3 s", 0, steadyGaps(20 * time.Second), 3 * time.Second, 0, lan, bound},
		{"every 20 s, with an event every 47 s", 0, steadyGaps(20 * time.Second), 47 * time.Second, 0, lan, bound},
		{"every 20 s, deviation 3 s, round trip to 2 s", 15 * time.Minute, normalGaps(20*time.Second, 3*time.Second), 0, 0, uniformDelay(0, time.Second), bound},
		{"every 20 s to 30 s, mostly 20, round trip to 2 s", 15 * time.Minute, delayedGaps(20*time.Second, 10*time.Second), 0, 0, uniformDelay(0, time.Second), bound},
		// Keep-alives that were lost shortly before widen the agent's arrival window.
		{"every 20 s, 2 % of messages are lost", 15 * time.Minute, steadyGaps(20 * time.Second), 0, 0.02, lan, 100 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var delays []time.Duration
			for phase := range phases {
				hangs := Instant(warmUp+tt.learns) + Instant(phase)*Instant(time.Minute)/Instant(phases)
				n := newNetwork(allFeatures, uint64(phase), tt.loss, tt.delay, remote{gap: tt.gap, chat: Instant(tt.chat), hangs: hangs})
				n.runFor(tt.learns + time.Minute + 200*time.Second)
				if len(n.said) != 1 {
					t.Fatalf("hung at %v: decided %+v, want one change", time.Duration(hangs), n.said)
				}
				d := &n.said[0]
				delay := d.At.Sub(hangs)
				if d.To != Disconnected || d.Reason != MissedKeepAlives || d.Missed != 3 || delay <= 0 || delay >= tt.within {
					t.Errorf("hung at %v: %v by %v with %d missed, after %v", time.Duration(hangs), d.To, d.Reason, d.Missed, delay)
				}
				delays = append(delays, delay)
			}
			t.Logf("known after%s", quantiles(delays))
		})
	}
}

func quantiles(all []time.Duration) string {
	slices.Sort(all)
	var text strings.Builder
	for _, q := range []float64{0, 0.5, 0.9, 0.99, 1} {
		fmt.Fprintf(&text, "  p%v %v", q*100, all[int(q*float64(len(all)-1))].Round(100*time.Millisecond))
	}
	return text.String()
}

// Agents whose keep-alives arrive irregularly, over a network that is slow or loses
// some, are probed more often, and never given up.
func TestAJitteryNetworkCausesNoFalseLosses(t *testing.T) {
	agents, hours := 1000, 6
	if raceEnabled || testing.Short() {
		agents, hours = 200, 3
	}
	t.Parallel()
	for _, tt := range []struct {
		name string
		loss float64
		most float64 // questions, as a share of the keep-alives by the interval
	}{
		{"slow and unsteady", 0, 0.01},
		{"the same, and 2 % of all messages are lost", 0.02, 0.05},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := unsteadyNetwork(20, tt.loss, agents)
			n.runFor(time.Duration(hours) * time.Hour)
			for _, d := range n.said {
				t.Errorf("decided %+v", d)
			}
			share := float64(n.questions) / float64(n.turns)
			t.Logf("%d agents, %d h: %d keep-alives by the interval, %d after a miss, %d because of suspicion: %.2f per agent and hour, %.1f %%",
				agents, hours, n.turns, n.retries, n.questions, float64(n.questions)/float64(agents*hours), 100*share)
			if share > tt.most {
				t.Errorf("suspicion costs %.1f %% more keep-alives, want %.0f %% at most", 100*share, 100*tt.most)
			}
		})
	}
}

// unsteadyNetwork has agents with keep-alives every 20 s, more or less, and
// round trips of up to 2 s.
func unsteadyNetwork(seed uint64, loss float64, agents int) *network {
	fleet := make([]remote, agents)
	for i := range fleet {
		if i%4 == 3 {
			fleet[i].gap = delayedGaps(20*time.Second, 10*time.Second)
		} else {
			fleet[i].gap = normalGaps(20*time.Second, time.Duration(1+i%4)*time.Second)
		}
	}
	return newNetwork(allFeatures, seed, loss, uniformDelay(time.Millisecond/2, time.Second), fleet...)
}

// BenchmarkLossyNetwork measures how often an agent that is alive is given up if
// messages are lost independently and not sent again, as with UDP.
// An operation is 6 h of 2000 agents, with a new seed each.
func BenchmarkLossyNetwork(b *testing.B) {
	for _, loss := range []float64{0, 0.02, 0.05} {
		b.Run(fmt.Sprintf("loss=%v", loss), func(b *testing.B) {
			given, turns, questions := 0, 0, 0
			for i := range b.N {
				n := unsteadyNetwork(uint64(i), loss, 2000)
				n.runFor(6 * time.Hour)
				given += len(n.said) / 2 // it comes back
				turns, questions = turns+n.turns, questions+n.questions
			}
			b.ReportMetric(1e6*float64(given)/float64(b.N*2000*6), "false/Mh")
			b.ReportMetric(100*float64(questions)/float64(turns), "%questions")
		})
	}
}
