package detector

import "cmp"

// SetSettings takes up other settings, but for the method. Agents keep their state:
// nothing is decided by it, and nobody is given up for a silence that was no offence
// before: where a timeout is shorter now, it counts from here. Who waits for an answer
// has at most the new time for it.
func (t *Table) SetSettings(set Settings, now Instant) {
	set.Method = t.set.Method
	before := t.groups
	t.set, t.groups, t.span = set, append([]Group{set.Group}, set.Groups...), cmp.Or(set.Interval, set.Timeout)
	for slot := range t.state {
		if s := &t.state[slot]; s.has(used) {
			t.resetTimes(int32(slot), &before[s.group], now)
		}
	}
}

// resetTimes brings an agent's deadlines to the settings in effect. Its group was
// another.
func (t *Table) resetTimes(slot int32, before *Group, now Instant) {
	s, w := &t.state[slot], &t.who[slot]
	s.group = 0
	if t.set.GroupOf != nil {
		s.group = uint8(t.set.GroupOf(s.id, w.name, w.addr))
	}
	group := t.groupOf(s)
	t.attend(slot, now)
	if !s.watched() {
		return
	}
	if group.Timeout < before.Timeout {
		t.shortened = now
	}
	switch {
	case s.has(closed): // its grace runs on
	case s.has(probing):
		s.act = min(s.act, now.Add(t.answerTime(s)))
	case group.Interval != before.Interval:
		t.schedule(slot, now)
	}
}

// SetSettings takes up other settings; see [Table.SetSettings]. Before is called when
// all that was decided by the old ones is handed over, and before anything is decided
// by the new ones, from the goroutine of Run. It returns when that is done, or when
// the detector has ended.
func (d *Detector) SetSettings(set Settings, before func()) {
	d.call(func(t *Table, now Instant) {
		d.tell()
		before()
		t.SetSettings(set, now)
	})
}
