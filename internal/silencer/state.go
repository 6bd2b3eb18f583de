package silencer

import (
	"slices"
	"time"

	"github.com/wazuh-pulse/pulse/internal/silence"
)

// dropPeriod is how often silences that are over are dropped.
const dropPeriod = time.Hour

// updateStates computes which silences hold at an instant, and when that changes next.
// Silences that are over are recorded, and dropped after a while.
func (s *Silencer) updateStates(now time.Time) {
	expired := false
	s.updated, s.due = now, now.Add(dropPeriod)
	for _, list := range [][]*held{s.kept, s.settings} {
		for _, h := range list {
			if s.updateState(h, now) {
				expired = true
			}
			if !h.next.IsZero() && h.next.Before(s.due) {
				s.due = h.next
			}
		}
	}
	if s.dropOld(now) || expired {
		s.saveOrPostpone()
	}
	if len(s.changed) > 0 {
		s.rebuildIndex()
	}
}

// updateState computes whether a silence holds, and reports whether its time is over since
// now.
func (s *Silencer) updateState(h *held, now time.Time) (expired bool) {
	if !h.since.IsZero() && !now.Before(h.since) && (h.next.IsZero() || now.Before(h.next)) {
		return false // it is within the period that was computed last
	}
	first := h.since.IsZero()
	holds, next := h.HoldsAt(now)
	if holds != h.holds {
		s.changed = append(s.changed, h)
		if h.Weekly != nil && !first {
			s.record(map[bool]Change{true: Began, false: Paused}[holds], &h.Silence, "")
		}
	}
	h.holds, h.since, h.next = holds, now, next
	if h.Weekly != nil || h.IsOver() || now.Before(h.Until) {
		return false
	}
	h.EndedAt = now.UTC().Truncate(time.Second)
	s.record(Expired, &h.Silence, "")
	return true
}

// dropOld drops silences that have been over for a while, and reports whether there were
// any.
func (s *Silencer) dropOld(now time.Time) bool {
	over := 0
	for _, h := range s.kept {
		if h.IsOver() {
			over++
		}
	}
	before := len(s.kept)
	s.kept = slices.DeleteFunc(s.kept, func(h *held) bool {
		if !h.IsOver() || over <= maxOver && now.Sub(h.EndedAt) < keepOver {
			return false
		}
		over--
		return true
	})
	return len(s.kept) < before
}

func (s *Silencer) rebuildIndex() {
	var selectors []*silence.Selector
	for _, list := range [][]*held{s.kept, s.settings} {
		for _, h := range list {
			if h.holds {
				selectors = append(selectors, &h.Selector)
			}
		}
	}
	s.index = silence.NewIndex(selectors)
	if !s.index.IsEmpty() {
		s.watching.Store(true)
	}
}

// recordEarlyChanges records what had changed before Run.
func (s *Silencer) recordEarlyChanges() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started = true
	for _, record := range s.early {
		record()
	}
	s.early = nil
}

// record records a change, as soon as Run is called.
func (s *Silencer) record(change Change, of *silence.Silence, peer string) {
	if s.started {
		s.cfg.Record(change, of, peer)
		return
	}
	then := *of
	s.early = append(s.early, func() { s.cfg.Record(change, &then, peer) })
}
