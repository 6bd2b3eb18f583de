package detector

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestADay simulates a day of a fleet: agents fail in every way and recover, some
// flap, some change all the time, networks are cut, the process is paused and
// restarted, also in the middle of outages. Table and model get the same sightings and
// must make the same decisions. DAY_AGENTS=100000 plays a larger fleet.
func TestADay(t *testing.T) {
	agents, hours := 40_000, 24
	if text := os.Getenv("DAY_AGENTS"); text != "" {
		var err error
		if agents, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	if raceEnabled || testing.Short() {
		agents, hours = 5_000, 12
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // the model allocates a lot
	w := newWorld(agents, time.Duration(hours)*time.Hour, 20240501)
	results, done := make(chan step, 64), make(chan error, 1)
	go func() { done <- w.checkModel(results) }()
	w.run(results)
	close(results)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	w.logCounts(t)
}

// daySettings are slower than the daemon's, so that a day fits into a test.
var daySettings = Settings{
	Group:         Group{Interval: time.Hour, Timeout: 3 * time.Hour, MaxMissed: 3},
	Groups:        []Group{{Interval: 10 * time.Minute, Timeout: 40 * time.Minute, MaxMissed: 2}},
	GroupOf:       dayGroup,
	RetryInterval: time.Minute, SuspectTimeout: 10 * time.Second, ReconnectGrace: 5 * time.Second,
	OutageShare: 0.3, OutageHold: time.Minute, FlapThreshold: 6, FlapWindow: 20 * time.Minute, MaxChanges: 30,
	HostProbe: true, EscalateAfter: []time.Duration{10 * time.Minute, time.Hour, 2 * time.Hour}, DormantAfter: 100 * time.Minute,
}

// dayGroup puts every tenth agent into the group with the shorter interval.
func dayGroup(id AgentID, _ string, _ netip.Addr, _ Info) int {
	if id%10 == 0 {
		return 1
	}
	return 0
}

const dayNotify = 30 * time.Minute // between an agent's own keep-alives

// condition is the true state of an agent.
type condition uint8

const (
	alive condition = iota
	hung            // its connection is open, and it sends nothing
	cut             // the same, because of the network
	gone            // it does not run
	shut            // it has shut down
)

var conditionNames = [...]string{"alive", "hang", "cut", "kill", "shutdown"}

// world is the true state of a fleet, with the planned events by the second.
type world struct {
	random  *rand.Rand
	end     int64
	now     int64 // seconds, without pauses
	agents  []worldAgent
	coming  [][]happening // by the second, in a ring
	base    int64         // the second in which the table's instants begin
	table   *Table
	outage  worldOutage
	sends   int
	extra   int // of these, to agents that were suspected and lived
	delays  [len(conditionNames)][]time.Duration
	outages int
	flaps   int
	deaths  int
	pauses  int
	starts  int
	seen    int
	changes int
	summed  int // of these, reported together with others

	verdicts worldVerdicts
	broken   int // reports that do not follow from the one before
	invented int // losses of agents that had been alive for long enough to be seen
}

type worldAgent struct {
	is      condition
	life    uint8 // counts failures and returns, which cancel what was planned before
	since   int64
	told    bool // its failure was reported
	flapper bool
	flooder bool
	status  Status // as reported

	last  *Decision // the last change that was reported, with its instants as seconds of the day
	known int64     // when

	silenced  bool
	quietAt   int64 // when it was silenced last
	step      int   // of its absence, as published
	alertHeld bool  // as published
	alerted   bool  // the same: of its last loss, or a step of its absence
	flapping  bool  // the same
}

// happening is planned for an agent, unless it fails or returns until then.
type happening struct {
	agent int32
	life  uint8
	what  worldEvent
	token uint32
}

type worldEvent uint8

const (
	beats worldEvent = iota
	answers
	dies
	returns
	floods // it starts, sends a keep-alive and shuts down, many times in a second
)

// step is the input of table and model, and the decisions of the table.
type step struct {
	restart *restart // before anything else
	now     Instant
	lull    time.Duration
	quiet   []Silenced
	batch   []Sighting
	hosts   []HostReport // after the sweep
	said    []Decision
}

const dayRing = 1 << 14 // seconds: longer than any plan

func newWorld(agents int, day time.Duration, seed uint64) *world {
	w := &world{random: rand.New(rand.NewPCG(seed, 0)), end: int64(day / time.Second), agents: make([]worldAgent, agents),
		coming: make([][]happening, dayRing), table: NewTable(daySettings)}
	for i := range w.agents {
		w.agents[i] = worldAgent{is: gone, told: true, flapper: i%500 == 7, flooder: i%min(2500, agents/8) == 13, status: NeverConnected}
		w.scheduleEvent(1+w.random.Int64N(600), i, returns)
	}
	return w
}

func (w *world) members() (list []Member) {
	for i := range w.agents {
		list = append(list, Member{ID: AgentID(i + 1), Name: fmt.Sprintf("host-%d", i+1), IP: "any"})
	}
	return list
}

func (w *world) scheduleEvent(in int64, agent int, what worldEvent) {
	at := (w.now + min(max(in, 1), dayRing-2)) % dayRing
	w.coming[at] = append(w.coming[at], happening{int32(agent), w.agents[agent].life, what, 0})
}

// run simulates the day and sends every step to be checked.
func (w *world) run(to chan<- step) {
	members := w.members()
	w.table.SetMembers(members, 0)
	for w.now = 1; w.now <= w.end; w.now++ {
		var s step
		if w.random.IntN(8*3600) == 0 || w.outage.on && w.random.IntN(900) == 0 {
			s.restart = w.restart()
		}
		s.now = Instant(w.now-w.base) * Instant(time.Second)
		if w.random.IntN(3*3600) == 0 {
			s.lull = time.Duration(2+w.random.IntN(3600)) * time.Second
			w.pauses++
			w.table.Resume(s.now, s.lull)
		}
		if w.random.IntN(2*3600) == 0 {
			w.cutNetworks()
		}
		if s.quiet = w.planSilences(); len(s.quiet) > 0 {
			w.table.SetSilenced(s.quiet, s.now)
		}
		for _, h := range w.coming[w.now%dayRing] {
			if w.agents[h.agent].life == h.life {
				s.batch = w.applyEvent(h, s.batch, s.now)
			}
		}
		w.coming[w.now%dayRing] = w.coming[w.now%dayRing][:0]
		if len(s.batch) > 0 {
			w.table.Apply(s.batch)
		}
		w.table.Sweep(s.now)
		s.said = slices.Clone(w.table.TakeDecisions())
		s.hosts = w.probeHosts(s.said, s.now)
		for i := range s.hosts {
			w.table.ReportHost(s.hosts[i])
		}
		s.said = append(s.said, w.table.TakeDecisions()...)
		for i := range s.said {
			w.handleDecision(&s.said[i])
		}
		w.seen += len(s.batch)
		to <- s
	}
}

// applyEvent applies an event, and appends its sightings.
func (w *world) applyEvent(h happening, batch []Sighting, now Instant) []Sighting {
	a := &w.agents[h.agent]
	see := func(kind Kind) {
		batch = append(batch, Sighting{At: now, ID: AgentID(h.agent + 1), Kind: kind, Token: h.token,
			Addr: netip.AddrFrom4([4]byte{10, byte(h.agent >> 16), byte(h.agent >> 8), byte(h.agent)})})
	}
	switch h.what {
	case beats:
		see(SawKeepAlive)
		w.scheduleEvent(int64(dayNotify/time.Second)+w.random.Int64N(7)-3, int(h.agent), beats)
	case answers:
		see(SawAnswer)
	case dies:
		w.endAgent(int(h.agent), hung+condition(w.random.IntN(4)), 60+w.random.Int64N(9000), see)
	case returns:
		if a.is >= gone {
			see(SawStartup)
		}
		w.setCondition(int(h.agent), alive)
		w.scheduleEvent(1+w.random.Int64N(int64(dayNotify/time.Second)), int(h.agent), beats)
		if a.flooder {
			w.scheduleEvent(3600+w.random.Int64N(7200), int(h.agent), floods)
		}
		if a.flapper {
			w.scheduleEvent(60+w.random.Int64N(60), int(h.agent), dies)
		} else if w.random.IntN(8) == 0 {
			w.scheduleEvent(w.random.Int64N(dayRing), int(h.agent), dies)
		}
	case floods:
		for range 12 {
			see(SawStartup)
			see(SawKeepAlive)
			see(SawShutdown)
		}
		if w.random.IntN(60) == 0 {
			w.endAgent(int(h.agent), shut, 60+w.random.Int64N(600), see)
		} else {
			w.scheduleEvent(1, int(h.agent), floods)
		}
	}
	return batch
}

func (w *world) setCondition(agent int, is condition) {
	a := &w.agents[agent]
	a.is, a.since, a.told = is, w.now, false
	a.life++
}

func (w *world) endAgent(agent int, how condition, forSeconds int64, see func(Kind)) {
	if w.agents[agent].flapper {
		how, forSeconds = gone, 20+w.random.Int64N(60)
	}
	w.setCondition(agent, how)
	w.deaths++
	switch how {
	case gone:
		see(SawClosed)
	case shut:
		see(SawShutdown)
		see(SawClosed)
	}
	w.scheduleEvent(forSeconds, agent, returns)
}

// cutNetworks disconnects all agents in a part of the networks, for some time.
func (w *world) cutNetworks() {
	share := w.random.IntN(256)
	for i := range w.agents {
		if i>>8*37%256 < share && w.agents[i].is == alive {
			w.endAgent(i, cut, 6000+w.random.Int64N(30), func(Kind) {})
		}
	}
}

// handleDecision makes agents answer, and counts what was detected.
func (w *world) handleDecision(d *Decision) {
	a := &w.agents[max(int(d.ID)-1, 0)]
	switch d.Verdict {
	case Send:
		w.sends++
		slot, _ := w.table.slots.findAgentSlot(d.ID)
		if a.is == alive && w.table.state[slot].has(suspected) {
			w.extra++
		}
		if a.is == alive {
			at := (w.now + 1) % dayRing
			w.coming[at] = append(w.coming[at], happening{int32(d.ID - 1), a.life, answers, d.Token})
		}
	case Changed:
		w.changes += max(1, d.Changes)
		w.summed += max(0, d.Changes-1)
		if d.From != a.status {
			w.broken++
		}
		a.status = d.To
		w.publish(a, d)
		if d.To == Disconnected && d.Silenced {
			w.verdicts.quietLosses++
		}
		if d.To == Disconnected && a.is == alive && !a.flooder && w.now-a.since > int64(dayNotify/time.Second)+120 {
			w.invented++
		}
		if d.To == Disconnected && a.is != alive && !a.told && !a.flooder {
			a.told = true
			w.delays[a.is] = append(w.delays[a.is], w.since(d.At, a.since))
		}
	case AlertReleased, Escalated:
		w.recordAlert(a, d)
	case OutageBegan:
		w.outages++
		w.beginOutage(d)
	case OutageEnded:
		w.endOutage(d)
	case Flapping:
		w.flaps++
		a.flapping = true
	}
}

// checkModel compares the model's decisions with the table's in every step.
func (w *world) checkModel(steps <-chan step) error {
	defer func() {
		for range steps { // the world goes on
		}
	}()
	m := newModel(daySettings)
	m.agenda = map[int64][]*modelAgent{}
	m.setMembers(w.members(), 0)
	for s := range steps {
		if s.restart != nil {
			var err error
			if m, err = s.restart.restoreModel(m, w.members()); err != nil {
				return fmt.Errorf("at %v: %w", time.Duration(s.now), err)
			}
		}
		if s.lull > 0 {
			m.resume(s.now, s.lull)
		}
		if len(s.quiet) > 0 {
			m.setSilenced(s.quiet, s.now)
		}
		if len(s.batch) > 0 {
			m.applySightings(s.batch...)
		}
		m.runSweep(s.now)
		for _, r := range s.hosts {
			m.reportHost(r)
		}
		if err := compareLists(m.decisions, s.said); err != nil {
			return fmt.Errorf("at %v: %w", time.Duration(s.now), err)
		}
		m.decisions, m.limited = m.decisions[:0], 0
	}
	return nil
}

func compareLists(want, got []Decision) error {
	for i := range max(len(want), len(got)) {
		switch {
		case i >= len(want):
			return fmt.Errorf("the table decides %+v, the model nothing", got[i])
		case i >= len(got):
			return fmt.Errorf("the model decides %+v, the table nothing", want[i])
		}
		a, b := want[i], got[i]
		if a.Fleet != nil && b.Fleet != nil {
			if f, g := *a.Fleet, *b.Fleet; fmt.Sprint(f) != fmt.Sprint(g) {
				return fmt.Errorf("the model has the outage %+v, the table %+v", f, g)
			}
			a.Fleet, b.Fleet = nil, nil
		}
		if a != b {
			return fmt.Errorf("the model decides %+v, the table %+v", want[i], got[i])
		}
	}
	return nil
}

func (w *world) logCounts(t *testing.T) {
	t.Logf("%d agents, %v: %d sightings, %d keep-alives (%d of them to suspects that lived), %d changes (%d summed up), %d deaths, %d pauses, %d restarts (%d in an outage), %d outages, %d flapping",
		len(w.agents), time.Duration(w.end)*time.Second, w.seen, w.sends, w.extra, w.changes, w.summed, w.deaths, w.pauses, w.starts, w.outage.restarts, w.outages, w.flaps)
	w.verdicts.check(t)
	for is, delays := range w.delays {
		if len(delays) == 0 {
			continue
		}
		slices.Sort(delays)
		var text strings.Builder
		for _, q := range []float64{0.01, 0.5, 0.9, 0.99, 1} {
			fmt.Fprintf(&text, "  p%v %v", q*100, delays[int(q*float64(len(delays)-1))].Round(time.Second))
		}
		t.Logf("%-8s found %6d times, after%s", conditionNames[is], len(delays), text.String())
	}
	for _, is := range []condition{hung, cut, gone, shut} {
		if len(w.delays[is]) == 0 {
			t.Errorf("no death by %s was found", conditionNames[is])
		}
	}
	if w.invented > 0 {
		t.Errorf("%d agents were called dead and lived", w.invented)
	}
	if len(w.outage.wrong) > 0 || w.outage.restarts == 0 {
		t.Errorf("%d restarts in an outage: want some; and of the outages' counts are wrong: %q", w.outage.restarts, w.outage.wrong)
	}
	if w.broken > 0 || w.summed == 0 {
		t.Errorf("%d reports do not follow from the one before, and %d changes were summed up: want none, and some", w.broken, w.summed)
	}
	if w.outages == 0 || w.flaps == 0 || w.pauses == 0 {
		t.Errorf("the day had %d outages, %d flapping agents, %d pauses: want some of each", w.outages, w.flaps, w.pauses)
	}
}
