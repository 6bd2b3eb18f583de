package detector

import (
	"cmp"
	"math"
	"math/big"
	"net/netip"
	"slices"
	"time"
)

// model is a reference implementation of the table, slow and obvious: no lazy
// deadlines, no flags, no running counts. Every agent has plain optional fields and whole
// histories, and each step computes everything from them anew.
type model struct {
	set     Settings
	agents  map[AgentID]*modelAgent
	slots   []*modelAgent // nil where free
	started Instant       // when the first members came
	free    []int
	resumed Instant
	pause   time.Duration

	counts       [4]int
	unresponsive map[*modelAgent]bool // those that do not answer or are away, and some that did not

	decisions []Decision
	limited   int // of these, looked at by limit
	batch     []*modelChange
	losses    []*modelChange        // of the last interval, in order
	absent    map[*modelChange]bool // of these, where the agent is still away
	queue     []*modelChange        // those whose alert waits, in order
	outage    *modelOutage
	over      *modelOutage // the last, while its hold runs

	modelProbes
	pace     modelPace // of passive agents
	silenced map[AgentID]bool
	quiet    int // watched agents that are silenced

	quietChanged bool // other agents are silenced since

	reliefs []modelRelief // of suspected agents: signs of life
	silent  bool          // the fleet is

	agenda map[int64][]*modelAgent // the agents to check in a second; nil: all, always
	looked int64                   // the second up to which the agenda was processed
}

type modelAgent struct {
	id        AgentID
	slot      int
	name      string
	listed    string     // its address in the inventory
	addr      netip.Addr // where it was seen
	info      Info
	status    Status
	reason    Reason
	wasActive bool
	place     *modelPlace // what another node has claimed

	restored bool // it was there before the model began, and has not been seen since

	deadline   Instant  // the next, or an earlier one
	lastSeen   *Instant // last sign of life
	arrivals   arrivalWindow
	inSequence bool
	passive    modelPassive
	turnFrom   Instant       // its next keep-alive is the first one after this
	gone       *Instant      // when its connection closed
	grace      time.Duration // from then on
	probe      *Instant      // when the keep-alive that awaits an answer was sent
	suspect    bool
	pace       time.Duration // timeout of that answer
	lastSent   *Instant      // the last keep-alive since it came back
	answer     *Answer       // to the last keep-alive
	token      uint32
	missed     int
	phases     []int64 // of its turns, by group; -1 until worked out

	changes   []*modelChange
	history   []Instant // for flapping
	flapping  bool
	flapAlert *modelChange
	share     modelShare

	loss    *modelLoss  // that waits for the probe of its host
	probed  *modelProbe // of its host
	closed  bool        // its connection had closed when it was lost
	step    int         // of its absence
	stepDue bool        // its report is held
	dormant bool
	held    bool    // its alert is, because it is silenced
	alerted bool    // its alert is reported
	since   Instant // of its status
	from    Status  // before that
}

// modelChange is one change of an agent's status.
type modelChange struct {
	agent         *modelAgent
	from, to      Status
	why           Reason
	at, decidedAt Instant
	out           int          // its decision
	outage        *modelOutage // what it is part of
	waits         bool         // its alert, to see whether an outage comes
	first         *modelChange // the agent's first loss in the same outage, if this is another
	left          bool         // it was a return from an outage
}

type modelOutage struct {
	began, since Instant
	watched      int
	members      []*modelChange
	settled      bool                         // it does not spread any more
	of           map[*modelAgent]*modelChange // the member of an agent
	away         map[*modelChange]bool        // of these, where the agent is
	gone         map[*modelChange]bool        // of the members, where the agent was removed
	end          Instant                      // of the hold

	reportDue         *Instant // when its beginning is reported at the latest
	reportAt          Instant  // the time of that report
	sample            []*modelProbe
	probed, answering int // hosts of members
}

func newModel(set Settings) *model {
	return &model{set: set, agents: map[AgentID]*modelAgent{}, unresponsive: map[*modelAgent]bool{}, absent: map[*modelChange]bool{}, silenced: map[AgentID]bool{}}
}

func (a *modelAgent) isWatched() bool { return a.status == Active || a.status == Pending }

func (m *model) group(a *modelAgent) (group Group, n int) {
	group = m.set.Group
	if m.set.GroupOf != nil {
		if n = m.set.GroupOf(a.id, a.name, a.addr, a.info); n > 0 {
			group = m.set.Groups[n-1]
		}
	}
	if a.passive.is {
		group = m.passiveGroup(group)
	}
	return group, n
}

func (m *model) addDecision(a *modelAgent, d Decision) *Decision {
	d.ID, d.Name, d.IP = a.id, a.name, a.listed
	_, d.Group = m.group(a)
	if a.addr.IsValid() {
		d.IP = a.addr.String()
	}
	m.decisions = append(m.decisions, d)
	return &m.decisions[len(m.decisions)-1]
}

func (m *model) setStatus(a *modelAgent, to Status, why Reason, at Instant) {
	c := m.newChange(a, to, why, at)
	m.forgetPlace(a)
	m.counts[a.status]--
	m.counts[to]++
	a.from, a.since = a.status, at
	m.countQuiet(a, -1)
	a.status, a.reason = to, why
	m.countQuiet(a, 1)
	a.held = m.silenced[a.id] && to == Disconnected && why != AgentRemoved
	m.addChangeDecision(Changed, c).AlertHeld = a.held
	a.changes = append(a.changes, c)
	m.batch = append(m.batch, c)
	if to == Active {
		a.wasActive = true
	}
	if to == Disconnected {
		a.restored = false
		a.gone, a.probe, a.lastSent, a.suspect, a.inSequence = nil, nil, nil, false, false
	}
}

// newChange returns a change of an agent's status. An absence is over with it.
func (m *model) newChange(a *modelAgent, to Status, why Reason, at Instant) *modelChange {
	c := &modelChange{agent: a, from: a.status, to: to, why: why, at: at, out: len(m.decisions)}
	if a.status != Disconnected {
		return c
	}
	if last := a.lastChange(); last != nil {
		c.left = m.isCurrentOutage(last.outage)
		delete(m.absent, last)
		if last.outage != nil {
			delete(last.outage.away, last)
		}
	}
	a.probed, a.closed, a.step, a.stepDue, a.held, a.alerted = nil, false, 0, false, false, false
	m.setDormant(a, false)
	return c
}

func (m *model) addChangeDecision(v Verdict, c *modelChange) *Decision {
	a := c.agent
	d := m.addDecision(a, Decision{Verdict: v, At: c.at, From: c.from, To: c.to, Reason: c.why, Missed: a.missed, Info: a.info, Silenced: m.silenced[a.id]})
	if a.lastSeen != nil {
		d.LastSeen, d.Seen = *a.lastSeen, !a.restored
	}
	if c.to == Disconnected && c.why != AgentRemoved {
		d.Evidence = a.evidence(d)
	}
	return d
}

func (a *modelAgent) lastChange() *modelChange {
	if len(a.changes) == 0 {
		return nil
	}
	return a.changes[len(a.changes)-1]
}

// nextKeepAlive returns the first keep-alive of the agent's slot after turnFrom, found by
// counting up.
func (m *model) nextKeepAlive(a *modelAgent) Instant {
	group, n := m.group(a)
	if group.Interval == 0 {
		return never
	}
	phase := a.phases[n]
	if phase < 0 {
		frac := new(big.Int).Mul(big.NewInt(int64(a.slot)), new(big.Int).SetUint64(0x9E3779B97F4A7C15))
		frac.Mod(frac, new(big.Int).Lsh(big.NewInt(1), 64))
		phase = new(big.Int).Rsh(new(big.Int).Mul(frac, big.NewInt(int64(group.Interval))), 64).Int64()
		a.phases[n] = phase
	}
	k := (int64(a.turnFrom) - phase) / int64(group.Interval)
	at := Instant(phase + (k-1)*int64(group.Interval))
	for at <= a.turnFrom {
		at = at.Add(group.Interval)
	}
	return at
}

// graceUntil returns until when an agent is not given up.
func (m *model) graceUntil(a *modelAgent) Instant {
	group, _ := m.group(a)
	if a.restored {
		return m.started.Add(group.Timeout)
	}
	return m.resumed.Add(min(m.pause, group.Timeout))
}

// deadlineKind is what an agent is due for next.
type deadlineKind int

const (
	nothing deadlineKind = iota
	toSettle
	toLoseSilent
	toLoseClosed
	toMiss
	toTurn
	toSuspect
)

// nextDeadline lists all deadlines of an agent and returns the first, the earlier in
// the list if some are equal.
func (m *model) nextDeadline(a *modelAgent) (first Instant, do deadlineKind) {
	first = never
	consider := func(at Instant, w deadlineKind) {
		if at < first {
			first, do = at, w
		}
	}
	if len(a.history) > 0 {
		consider(a.history[len(a.history)-1].Add(m.set.FlapWindow), toSettle)
	}
	if at := m.shareDue(&a.share); at != never {
		consider(at, toSettle)
	}
	if a.status == Disconnected {
		consider(m.absenceDue(a), toSettle)
	}
	if a.loss != nil {
		consider(a.loss.until, toSettle)
		return first, do
	}
	if !a.isWatched() {
		return first, do
	}
	consider(max(m.silentUntil(a), m.graceUntil(a)), toLoseSilent)
	if a.restored {
		return first, do
	}
	switch {
	case a.gone != nil:
		consider(max(a.gone.Add(a.grace), m.graceUntil(a)), toLoseClosed)
	case a.probe != nil:
		consider(a.probe.Add(a.pace), toMiss)
	default:
		consider(m.nextKeepAlive(a), toTurn)
	}
	if habit, ok := a.arrivals.suspectAfter(); ok && m.set.SuspectTimeout > 0 && m.set.Method == Request && a.gone == nil && !a.suspect && !a.passive.is {
		consider(a.lastSeen.Add(habit), toSuspect)
	}
	return first, do
}

// decideDue decides all that is due by now for one agent, its history of flaps first.
func (m *model) decideDue(a *modelAgent, now Instant) {
	m.settleShare(a, now)
	m.expireFlap(a, now)
	away := a.status == Disconnected
	if a.loss != nil && a.loss.until <= now {
		a.probed = nil
		m.giveUp(a, a.loss.why, a.loss.at)
	}
	if away {
		m.escalate(a, now)
	}
	for {
		at, do := m.nextDeadline(a)
		if at > now {
			m.scheduleCheck(a, at)
			return
		}
		if a.place != nil && (do == toLoseSilent || do == toLoseClosed || do == toSuspect) {
			m.moveAway(a, map[bool]Instant{true: now, false: at}[do == toSuspect])
			continue
		}
		switch do {
		case toSettle: // the next time
			m.scheduleCheck(a, at)
			return
		case toLoseSilent:
			if group, _ := m.group(a); a.passive.is {
				a.missed = group.MaxMissed
			} else if a.restored {
				a.missed = min(int(group.Timeout/group.Interval), group.MaxMissed)
			}
			m.lose(a, KeepAliveTimeout, at, now)
		case toLoseClosed:
			m.lose(a, ConnectionLost, at, now)
		case toMiss:
			m.countMiss(a, at, now)
		case toTurn:
			if m.set.Method != Request && a.lastSent != nil && *a.lastSeen <= *a.lastSent {
				m.countMiss(a, at, now)
			} else {
				m.sendKeepAlive(a, now)
			}
		case toSuspect:
			a.suspect, m.unresponsive[a] = true, true
			if a.probe != nil { // its miss comes no later for that
				miss := a.probe.Add(a.pace)
				m.sendKeepAlive(a, now)
				a.pace = min(a.pace, miss.Sub(now))
			} else {
				m.sendKeepAlive(a, now)
			}
		}
	}
}

func (m *model) countMiss(a *modelAgent, at, now Instant) {
	group, _ := m.group(a)
	a.missed++
	m.unresponsive[a] = true
	m.addDecision(a, Decision{Verdict: Failed, At: at, Token: a.token, Missed: a.missed})
	if a.place != nil {
		m.moveAway(a, at)
		return
	}
	if a.missed >= group.MaxMissed && at >= m.graceUntil(a) {
		m.lose(a, MissedKeepAlives, at, now)
		return
	}
	m.sendKeepAlive(a, now)
}

func (m *model) sendKeepAlive(a *modelAgent, now Instant) {
	group, _ := m.group(a)
	a.token++
	a.answer = nil
	a.lastSent, a.turnFrom = &now, now
	if m.set.Method == Request {
		a.probe, a.pace = &now, m.set.RetryInterval
		if a.suspect {
			a.pace = m.set.SuspectTimeout
		}
	}
	m.addDecision(a, Decision{Verdict: Send, At: now, Token: a.token, Interval: group.Interval})
}

func (m *model) runSweep(now Instant) {
	for _, a := range m.dueBy(now) {
		m.decideDue(a, now)
	}
	m.evaluateBatch(now)
}

func (m *model) applySightings(batch ...Sighting) {
	for _, s := range batch {
		if a := m.agents[s.ID]; a != nil {
			if a.deadline <= s.At && s.Kind != SawElsewhere && s.Kind != LostElsewhere {
				m.decideDue(a, s.At)
			}
			m.applySighting(a, s)
			at, _ := m.nextDeadline(a)
			m.scheduleCheck(a, at)
		}
	}
	m.evaluateBatch(batch[len(batch)-1].At)
}

// dueBy returns the agents to look at, in the order of their slots: all of
// them, or with an agenda those that are in it by now.
func (m *model) dueBy(now Instant) []*modelAgent {
	if m.agenda == nil {
		return slices.DeleteFunc(slices.Clone(m.slots), func(a *modelAgent) bool { return a == nil })
	}
	var list []*modelAgent
	for second := m.looked; second <= now.second(); second++ {
		for _, a := range m.agenda[second] {
			if m.slots[a.slot] == a && !slices.Contains(list[max(0, len(list)-1):], a) {
				list = append(list, a)
			}
		}
		if second < now.second() {
			delete(m.agenda, second)
		}
	}
	m.looked = now.second()
	slices.SortFunc(list, func(a, b *modelAgent) int { return a.slot - b.slot })
	return slices.Compact(list)
}

// scheduleCheck puts an agent into the agenda for its next deadline.
func (m *model) scheduleCheck(a *modelAgent, at Instant) {
	a.deadline = at
	if m.agenda != nil && at != never {
		second := max(at.second(), m.looked)
		m.agenda[second] = append(m.agenda[second], a)
	}
}

func (i Instant) second() int64 { return int64(i) / int64(time.Second) }

func (m *model) applySighting(a *modelAgent, s Sighting) {
	if s.Kind == SawElsewhere || s.Kind == LostElsewhere {
		m.claimElsewhere(a, s)
		return
	}
	if (s.Kind == SawStartup || s.Kind == SawShutdown) && a.isWatched() && a.place != nil {
		m.moveAway(a, s.At)
	}
	if s.Kind == SawShutdown && a.place != nil {
		return
	}
	watched := a.isWatched()
	if s.Kind == Unsent {
		m.postponeAnswer(a, s)
		return
	}
	if s.Kind == SawClosed || s.Kind == ClosedInDoubt {
		if watched && !a.restored && a.loss == nil && !a.passive.is && a.place != nil {
			m.moveAway(a, s.At)
		} else if watched && !a.restored && a.loss == nil && !a.passive.is {
			a.gone, a.probe, a.lastSent, a.suspect, a.inSequence = &s.At, nil, nil, false, false
			if a.grace = m.set.ReconnectGrace; s.Kind == ClosedInDoubt {
				a.grace = max(a.grace, time.Duration(s.Token)*time.Second)
			}
			m.unresponsive[a] = true
			m.decideDue(a, s.At)
		}
		return
	}
	expected := a.restored || s.At < m.graceUntil(a)
	a.lastSeen, a.missed = &s.At, 0
	if watched && a.place != nil && s.At > a.place.at {
		m.forgetPlace(a)
	}
	if s.Addr != (netip.Addr{}) {
		_, before := m.group(a)
		m.locate(a, s.Addr)
		if _, after := m.group(a); after != before && watched && a.probe == nil && a.gone == nil {
			a.turnFrom = s.At
		}
	}
	if a.loss != nil {
		a.loss, a.probed, a.probe, a.turnFrom = nil, nil, nil, s.At
	}
	if a.gone != nil || a.restored {
		a.gone, a.restored, a.turnFrom = nil, false, s.At
	}
	if a.suspect {
		m.dropOldReliefs(s.At)
		if !slices.ContainsFunc(m.reliefs, func(r modelRelief) bool { return r.agent == a }) {
			m.reliefs = append(m.reliefs, modelRelief{a, s.At})
		}
		a.suspect, a.pace = false, m.set.RetryInterval
	}
	back := func() { // keep-alives start again
		a.turnFrom, a.probe, a.lastSent = s.At, nil, nil
	}
	if s.Kind == SawStartup {
		a.inSequence = false
	}
	if s.Kind == SawKeepAlive {
		a.arrivals.addKeepAliveArrival(s.At, !m.isGap(a, s.At))
		a.inSequence = true
	}
	switch {
	case s.Kind == SawStartup && a.isAway():
		if a.place.lost {
			m.arrive(a, Pending, Startup, s.At)
		} else {
			m.arrive(a, Active, AgentMoved, s.At)
		}
		back()
	case s.Kind == SawKeepAlive && a.isAway():
		m.arrive(a, Active, map[bool]Reason{true: Reconnected, false: AgentMoved}[a.place.lost], s.At)
		back()
	case s.Kind == SawStartup && a.status != Pending && !(expected && a.status == Active):
		m.setStatus(a, Pending, Startup, s.At)
		back()
	case s.Kind == SawShutdown && a.status != Disconnected:
		m.setStatus(a, Disconnected, AgentShutdown, s.At)
	case s.Kind == SawKeepAlive && a.status != Active,
		(s.Kind == SawEvent || s.Kind == SawAnswer) && a.status == Disconnected &&
			(a.reason == KeepAliveTimeout || a.reason == MissedKeepAlives):
		why := Connected
		if a.wasActive {
			why = Reconnected
		}
		m.setStatus(a, Active, why, s.At)
		if !watched {
			back()
		}
	}
	if s.Kind == SawAnswer && a.probe != nil && s.Token == a.token {
		m.addDecision(a, Decision{Verdict: Acknowledged, At: s.At, Token: a.token, RTT: time.Duration(s.At - *a.probe)})
		a.answer = &Answer{SentAt: *a.probe, RTT: time.Duration(s.At - *a.probe).Truncate(time.Microsecond)}
		a.probe, a.turnFrom = nil, s.At
	}
}

// probeNow sends an agent a keep-alive, unless one is unanswered or was just answered.
func (m *model) probeNow(id AgentID, now Instant) (Probe, error) {
	a := m.agents[id]
	if a == nil {
		return Probe{}, ErrUnknownAgent
	}
	if a.passive.is {
		return Probe{}, ErrNoKeepAlives
	}
	if m.set.Method != Request {
		return Probe{}, ErrNoAnswers
	}
	if a.deadline <= now {
		m.decideDue(a, now)
	}
	defer func() {
		at, _ := m.nextDeadline(a)
		m.scheduleCheck(a, at)
		m.evaluateBatch(now)
	}()
	if !a.isWatched() || a.gone != nil || a.loss != nil {
		return Probe{}, ErrNotConnected
	}
	if a.answer != nil && now.Sub(a.answer.SentAt) < answerReuseTime {
		return Probe{Token: a.token, Answered: true, Answer: *a.answer}, nil
	}
	if a.probe == nil {
		m.sendKeepAlive(a, now)
	}
	return Probe{Token: a.token}, nil
}

func (m *model) resume(now Instant, lull time.Duration) {
	if rest := m.pause - now.Sub(m.resumed); rest > lull {
		m.resumed, m.pause = now, rest
	} else {
		m.resumed, m.pause = now, lull
	}
	m.decisions = append(m.decisions, Decision{Verdict: Resumed, At: now, Pause: lull})
}

func (m *model) setMembers(list []Member, now Instant) {
	if m.started == 0 {
		m.started = now
	}
	want := map[AgentID]Member{}
	for _, w := range list {
		want[w.ID] = w
	}
	for slot, a := range m.slots {
		if a == nil {
			continue
		}
		if w, ok := want[a.id]; !ok || w.Name != a.name {
			m.remove(slot, now)
		}
	}
	for _, w := range list {
		if a := m.agents[w.ID]; a != nil {
			a.listed = w.IP
			continue
		}
		m.add(w)
	}
	m.evaluateBatch(now)
}

func (m *model) add(w Member) {
	slot := len(m.slots)
	if n := len(m.free); n > 0 {
		slot, m.free = m.free[n-1], m.free[:n-1]
	} else {
		m.slots = append(m.slots, nil)
	}
	a := &modelAgent{id: w.ID, slot: slot, name: w.Name, listed: w.IP, status: NeverConnected, phases: m.unknownPhases()}
	m.slots[slot], m.agents[w.ID] = a, a
	m.counts[NeverConnected]++
}

// remove removes an agent. One that another node has is no change.
func (m *model) remove(slot int, now Instant) {
	a := m.slots[slot]
	if a.isAway() {
		m.forgetPlace(a)
		m.counts[NeverConnected]--
	} else {
		m.setStatus(a, Disconnected, AgentRemoved, now)
		if n := len(a.share.withheld); n > 0 {
			d := &m.decisions[len(m.decisions)-1]
			d.From, d.Changes = a.share.withheld[0].From, n+1
		}
		m.counts[Disconnected]--
	}
	a.loss, a.probed = nil, nil
	m.locate(a, netip.Addr{})
	delete(m.unresponsive, a)
	delete(m.agents, a.id)
	m.slots[slot] = nil
	m.free = append(m.free, slot)
}

func (m *model) unknownPhases() []int64 { return slices.Repeat([]int64{-1}, 1+len(m.set.Groups)) }

// isStillAway reports whether a disconnection is its agent's present state: one of the same
// instant counts as it.
func (m *model) isStillAway(c *modelChange) bool {
	last := c.agent.lastChange()
	return c.to == Disconnected && c.why != AgentRemoved && last.to == Disconnected && last.why != AgentRemoved && last.at == c.at
}

// isStillLost reports whether a loss is its agent's present state.
func (m *model) isStillLost(c *modelChange) bool { return c.isLoss() && c.agent.lastChange() == c }

func (c *modelChange) isLoss() bool {
	return c.why == KeepAliveTimeout || c.why == MissedKeepAlives || c.why == ConnectionLost
}

// isCurrentOutage reports whether an outage goes on, or its hold does.
func (m *model) isCurrentOutage(o *modelOutage) bool {
	return o != nil && (o == m.outage || o == m.over)
}

// isAlertHeld reports whether the alert of a loss is held, for any cause.
func (m *model) isAlertHeld(c *modelChange) bool {
	return m.isCurrentOutage(c.outage) || c.waits || c.agent.flapAlert == c || m.isStillAway(c) && c.agent.held
}

func (m *model) evaluateBatch(now Instant) {
	if m.set.OutageShare > 0 {
		m.updateOutage(now)
	} else {
		m.releaseQueue(now)
	}
	m.askWaiting(now)
	for _, c := range m.batch {
		m.countFlapChange(c)
		c.agent.alerted = c.agent.alerted || m.isStillAway(c) && !m.decisions[c.out].AlertHeld
		at, _ := m.nextDeadline(c.agent)
		m.scheduleCheck(c.agent, at)
	}
	m.batch = nil
	m.limitChanges(now)
}

func (m *model) updateOutage(now Instant) {
	var fresh []*modelChange
	collect := func(batch []*modelChange) {
		for _, c := range batch {
			if c.why == AgentRemoved && c.left && m.outage != nil {
				m.outage.gone[c.agent.changes[len(c.agent.changes)-2]] = true
			}
			if m.isStillLost(c) && !m.silenced[c.agent.id] {
				c.decidedAt = now
				fresh = append(fresh, c)
				m.absent[c] = true
				m.losses = append(m.losses, c)
			}
		}
	}
	collect(m.batch)
	for len(m.losses) > 0 && now.Sub(m.losses[0].decidedAt) >= m.set.Interval {
		delete(m.absent, m.losses[0])
		m.losses = m.losses[1:]
	}
	if n := len(m.waitingLosses(false)); n > 0 && (m.outage == nil || m.outage.settled) && len(m.absent)+n >= m.outageThreshold() {
		before := len(m.batch)
		for _, a := range m.waitingLosses(true) {
			if a.probed.token == 0 {
				a.probed = nil
			}
			m.giveUp(a, a.loss.why, a.loss.at)
		}
		collect(m.batch[before:])
	}
	m.reportBegan(now)
	if len(m.batch) > 0 || m.quietChanged { // else nothing begins
		m.quietChanged = false
		m.sortLosses(fresh, now)
	}
	if m.outage != nil && len(m.losses) < minOutage {
		m.outage.settled = true
	}
	for _, c := range fresh {
		d := &m.decisions[c.out]
		d.Outage, d.AlertHeld = c.outage != nil, c.outage != nil || c.waits || c.agent.held
	}
	for _, c := range m.batch {
		if m.outage != nil && m.slots[c.agent.slot] == c.agent {
			m.decisions[c.out].Part = m.outage.partOf(c.agent)
		}
	}
	if o := m.outage; o != nil && (len(o.away) == 0 || 2*len(o.away) < len(o.members)-len(o.gone)) {
		m.reportBegan(never)
		m.reportOutage(OutageEnded, o, now)
		o.end = now.Add(m.set.OutageHold)
		m.outage, m.over, m.losses = nil, o, nil
		clear(m.absent)
	}
	m.releaseQueue(now)
	if m.over != nil && m.over.end <= now {
		m.releaseHeld(now)
	}
	m.silent = m.isFleetSilent(now)
}

// releaseQueue releases the alerts that have waited for an outage long enough.
func (m *model) releaseQueue(now Instant) {
	for len(m.queue) > 0 && now.Sub(m.queue[0].decidedAt) >= m.set.Interval {
		if c := m.queue[0]; c.waits {
			c.waits = false
			m.releaseAlert(c, now)
		}
		m.queue = m.queue[1:]
	}
}

type modelRelief struct {
	agent *modelAgent
	at    Instant
}

func (m *model) dropOldReliefs(now Instant) {
	m.reliefs = slices.DeleteFunc(m.reliefs, func(r modelRelief) bool { return now.Sub(r.at) >= m.set.Interval })
}

// isFleetSilent reports whether as many agents are lost or unresponsive as in an
// outage, and the suspected ones that were probed did not answer.
func (m *model) isFleetSilent(now Instant) bool {
	m.dropOldReliefs(now)
	inVain, enough := 0, 4*max(1, len(m.reliefs))
	for c := range m.absent {
		if c.why == MissedKeepAlives {
			inVain++
		}
		if inVain == enough {
			least := m.outageThreshold()
			return len(m.absent) >= least || len(m.absent)+m.countUnresponsive() >= least
		}
	}
	return false
}

// postponeAnswer restarts the timeout of a keep-alive that waits to be sent. In a silent
// fleet an agent is given up after the time that it would have had.
func (m *model) postponeAnswer(a *modelAgent, s Sighting) {
	if a.probe == nil || s.Token != a.token {
		return
	}
	group, _ := m.group(a)
	if habit, ok := a.arrivals.suspectAfter(); ok && m.silent && a.suspect && s.At >= m.graceUntil(a) &&
		s.At.Sub(*a.lastSeen) >= habit+time.Duration(group.MaxMissed)*m.set.SuspectTimeout {
		a.missed = group.MaxMissed
		m.setStatus(a, Disconnected, KeepAliveTimeout, s.At)
		return
	}
	if s.At > *a.probe {
		a.probe = &s.At
	}
	a.pace = m.set.RetryInterval
	if a.suspect {
		a.pace = m.set.SuspectTimeout
	}
}

func (m *model) countUnresponsive() int {
	for a := range m.unresponsive {
		if !a.isWatched() || a.missed == 0 && !a.suspect && a.gone == nil && a.loss == nil {
			delete(m.unresponsive, a)
		}
	}
	n := 0
	for a := range m.unresponsive {
		if !m.silenced[a.id] {
			n++
		}
	}
	return n
}

// countWatched returns how many agents are watched and not silenced.
func (m *model) countWatched() int { return m.counts[Active] + m.counts[Pending] - m.quiet }

// countQuiet counts an agent that is watched and silenced.
func (m *model) countQuiet(a *modelAgent, n int) {
	if m.silenced[a.id] && a.isWatched() {
		m.quiet += n
	}
}

func (m *model) outageThreshold() int {
	share := m.set.OutageShare * float64(m.countWatched()+len(m.absent))
	return max(minOutage, int(math.Ceil(share)))
}

// sortLosses adds a batch's losses to the outage or the queue.
func (m *model) sortLosses(fresh []*modelChange, now Instant) {
	away, watching, least := len(m.absent), m.countWatched(), m.outageThreshold()
	switch {
	case (m.outage == nil || m.outage.settled) && away >= least:
		m.releaseHeld(now)
		m.reportBegan(never)
		if m.outage == nil {
			m.outage = &modelOutage{began: now, since: now, watched: watching + away, away: map[*modelChange]bool{}, gone: map[*modelChange]bool{}, of: map[*modelAgent]*modelChange{}}
		}
		m.outage.settled = false
		for _, c := range m.losses {
			if m.absent[c] {
				m.outage.addMember(c)
			}
		}
		m.askSample(now)
		due := now.Add(ProbeWait)
		m.outage.reportAt, m.outage.reportDue = now, &due
		m.reportBegan(now)
	case m.outage != nil && !m.outage.settled && len(m.losses) >= minOutage:
		for _, c := range fresh {
			m.outage.addMember(c)
		}
	case (m.outage == nil || m.outage.settled) && away+m.countUnresponsive() >= least:
		for _, c := range fresh {
			c.waits = true
		}
		m.queue = append(m.queue, fresh...)
	}
}

// partOf returns how an agent counts in the outage: by its first loss.
func (o *modelOutage) partOf(a *modelAgent) Part {
	c := o.of[a]
	switch {
	case c == nil:
		return NoPart
	case cmp.Or(c.first, c).why == ConnectionLost:
		return ConnectionClosed
	}
	return FellSilent
}

func (o *modelOutage) addMember(c *modelChange) {
	if c.outage == o {
		return
	}
	if m := o.of[c.agent]; m != nil { // it was lost before, and back in between
		i := slices.Index(o.members, m)
		o.members = slices.Delete(o.members, i, i+1)
		c.first = cmp.Or(m.first, m)
	}
	o.of[c.agent] = c
	c.outage, c.waits = o, false
	o.since = min(o.since, c.at)
	o.members = append(o.members, c)
	o.away[c] = true
	if p := c.agent.probed; p != nil {
		if !p.settled {
			o.sample = append(o.sample, p)
		}
		o.countReport(p)
	}
}

func (m *model) releaseHeld(now Instant) {
	if o := m.over; o != nil {
		m.over = nil
		for _, c := range o.members {
			m.releaseAlert(c, now)
		}
	}
}

// releaseAlert reports the alert of a change that was held for a cause that is over.
func (m *model) releaseAlert(c *modelChange, now Instant) {
	a := c.agent
	switch {
	case !m.isStillAway(c) || m.isAlertHeld(c):
	case m.silenced[a.id]:
		a.held = true
	case a.stepDue:
		m.reportStep(a, now)
	case !a.alerted:
		a.alerted = true
		m.addChangeDecision(AlertReleased, c).Outage = c.outage != nil
	}
}

func (m *model) reportOutage(v Verdict, o *modelOutage, now Instant) {
	f := &Fleet{Since: o.since, Watched: o.watched, Lost: len(o.members) - len(o.gone), Networks: []Network{},
		HostsProbed: o.probed, HostsAnswered: o.answering}
	f.Back = f.Lost - len(o.away)
	lost := map[netip.Prefix]int{}
	for _, c := range o.members {
		if o.gone[c] {
			continue
		}
		if cmp.Or(c.first, c).why == ConnectionLost {
			f.Closed++
		} else {
			f.Silent++
		}
		if addr := c.agent.addr; m.isStillLost(c) && addr.IsValid() {
			prefix, _ := addr.Prefix(map[bool]int{true: 24, false: 64}[addr.Is4()])
			lost[prefix]++
		}
	}
	for prefix, n := range lost {
		f.Networks = append(f.Networks, Network{prefix, n})
	}
	slices.SortFunc(f.Networks, func(a, b Network) int {
		return cmp.Or(b.Lost-a.Lost, a.Prefix.Addr().Compare(b.Prefix.Addr()))
	})
	f.Networks = f.Networks[:min(len(f.Networks), maxNetworks)]
	m.decisions = append(m.decisions, Decision{Verdict: v, At: now, Fleet: f})
}

func (m *model) countFlapChange(c *modelChange) {
	a := c.agent
	if m.set.FlapThreshold == 0 || c.to == NeverConnected || c.outage != nil || c.left || c.why == AgentRemoved || m.silenced[a.id] {
		return
	}
	if len(a.history) == 0 && c.to != Disconnected {
		return
	}
	a.history = append(a.history, c.at)
	defer func() {
		at, _ := m.nextDeadline(a)
		m.scheduleCheck(a, at)
	}()
	n := 0
	for _, at := range a.history {
		if at > c.at.Add(-m.set.FlapWindow) {
			n++
		}
	}
	began := !a.flapping && n > m.set.FlapThreshold
	if began {
		a.flapping = true
	}
	if !a.flapping {
		return
	}
	a.flapAlert = nil
	if m.isStillAway(c) {
		a.flapAlert = c
		m.decisions[c.out].AlertHeld = true
	}
	if began {
		m.addDecision(a, Decision{Verdict: Flapping, At: c.at, Changes: n})
	}
}

// expireFlap drops the history of an agent that did not change for a window.
func (m *model) expireFlap(a *modelAgent, now Instant) {
	if len(a.history) == 0 || a.history[len(a.history)-1].Add(m.set.FlapWindow) > now {
		return
	}
	c := a.flapAlert
	a.history, a.flapping, a.flapAlert = nil, false, nil
	if c != nil {
		m.releaseAlert(c, now)
	}
}
