package silencer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wazuh-pulse/pulse/internal/silence"
)

// settingsPrefix is what the ids of silences in the settings begin with.
const settingsPrefix = "settings:"

// Add adds a silence that somebody asked for from an address. It holds from then on, and
// is in the state directory.
func (s *Silencer) Add(ctx context.Context, r *silence.Request, peer string) (silence.Added, error) {
	now := s.now()
	added, err := r.NewSilence(now)
	if err != nil {
		return silence.Added{}, err
	}
	applied, err := s.addHeld(&added, now, peer)
	if err != nil {
		return silence.Added{}, err
	}
	waitUntilApplied(ctx, applied)
	return silence.Added{Node: s.cfg.Node, Silence: added.Show(now), Agents: s.countSelected(&added.Selector)}, nil
}

// addHeld adds a silence, gives it its id, and returns what is closed when its agents are
// silenced.
func (s *Silencer) addHeld(added *silence.Silence, now time.Time, peer string) (applied <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.checkRoom(&added.Selector); err != nil {
		return nil, err
	}
	added.ID = s.nextID()
	s.kept = append(s.kept, &held{Silence: *added})
	if err := s.store.write(s.encodeFile()); err != nil {
		s.kept = s.kept[:len(s.kept)-1]
		s.cfg.Log.Error("a silence is refused, as it cannot be kept", "err", err)
		return nil, fmt.Errorf("%w: %w", silence.ErrUnstored, err)
	}
	s.record(Added, added, peer)
	s.updateStates(now)
	return s.awaitEvaluation(), nil
}

// checkRoom returns an error if there may be no more silences of such a selector.
func (s *Silencer) checkRoom(selector *silence.Selector) error {
	present, unfiled := 0, 0
	for _, h := range s.kept {
		if h.IsOver() {
			continue
		}
		if present++; !h.Selector.IsFiled() {
			unfiled++
		}
	}
	switch {
	case present >= silence.MaxSilences:
		return silence.ErrTooMany
	case unfiled >= silence.MaxUnfiled && !selector.IsFiled():
		return silence.ErrTooManyWide
	}
	return nil
}

// awaitEvaluation returns what is closed when all that has changed is applied.
func (s *Silencer) awaitEvaluation() <-chan struct{} {
	applied := make(chan struct{})
	s.waiters = append(s.waiters, applied)
	s.wake.Send()
	return applied
}

// applyTimeout is for how long who adds or ends a silence waits until that is applied.
const applyTimeout = 5 * time.Second

func waitUntilApplied(ctx context.Context, applied <-chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	select {
	case <-applied:
	case <-ctx.Done():
	}
}

// End ends a silence. It is over even if that cannot be kept yet.
func (s *Silencer) End(ctx context.Context, id, by, peer string) (silence.Shown, error) {
	by, err := silence.NormalizeBy(by)
	if err != nil {
		return silence.Shown{}, err
	}
	ended, applied, err := s.endHeld(id, by, peer)
	if err == nil {
		waitUntilApplied(ctx, applied)
	}
	return ended, err
}

func (s *Silencer) endHeld(id, by, peer string) (silence.Shown, <-chan struct{}, error) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.kept, func(h *held) bool { return h.ID == id })
	switch {
	case i < 0 && slices.ContainsFunc(s.settings, func(h *held) bool { return h.ID == id }):
		return silence.Shown{}, nil, silence.ErrFromSettings
	case i < 0:
		return silence.Shown{}, nil, silence.ErrUnknown
	case s.kept[i].IsOver():
		return silence.Shown{}, nil, silence.ErrOver
	}
	h := s.kept[i]
	h.EndedAt, h.EndedBy = now.UTC().Truncate(time.Second), by
	if h.holds {
		s.changed = append(s.changed, h)
	}
	h.holds, h.since, h.next = false, now, time.Time{}
	s.record(Ended, &h.Silence, peer)
	s.updateStates(now)
	s.saveOrPostpone()
	return h.Show(now), s.awaitEvaluation(), nil
}

// List returns all silences: those of the settings, then the others, the latest first.
func (s *Silencer) List() silence.List {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	list := silence.List{Node: s.cfg.Node, Agents: int(s.silenced.Load()), Refused: s.refused, Silences: []silence.Shown{}}
	for _, h := range s.settings {
		list.Silences = append(list.Silences, h.Show(now))
	}
	for _, h := range slices.Backward(s.kept) {
		list.Silences = append(list.Silences, h.Show(now))
	}
	for i := range list.Silences {
		if list.Silences[i].State == silence.Active {
			list.Active++
		}
	}
	return list
}

// SetSettings sets the silences of the settings. One of the same name and content goes on.
func (s *Silencer) SetSettings(list []silence.Silence) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setSettings(list)
	s.updateStates(s.now())
	s.wake.Send()
}

func (s *Silencer) setSettings(list []silence.Silence) {
	before := s.settings
	s.settings = nil
	for i := range list {
		next := &held{Silence: list[i]}
		next.Settings = true
		if !strings.HasPrefix(next.ID, settingsPrefix) {
			next.ID = settingsPrefix + next.ID
		}
		if same := slices.IndexFunc(before, func(h *held) bool { return h.Entry() == next.Entry() }); same >= 0 {
			next = before[same]
			before = slices.Delete(before, same, same+1)
		}
		s.settings = append(s.settings, next)
	}
	for _, h := range before {
		if h.holds {
			h.holds = false
			s.changed = append(s.changed, h)
			s.record(Paused, &h.Silence, "")
		}
	}
}
