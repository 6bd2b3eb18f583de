package cluster

import (
	"context"
	"time"

	"github.com/wazuh-pulse/pulse/internal/ownership"
)

// watchConnection finds that this node is cut off.
func (v *View) watchConnection(ctx context.Context) {
	tick := time.NewTicker(min(time.Second, v.timing.cutOff/4))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		v.mu.Lock()
		began := !v.cutOff && time.Since(v.good) >= v.timing.cutOff
		v.cutOff = v.cutOff || began
		v.mu.Unlock()
		if began && v.cfg.OnConnection != nil {
			v.cfg.OnConnection(true)
		}
	}
}

// confirmConnection is called when everything has been read, and a beat is stored.
func (v *View) confirmConnection() {
	v.mu.Lock()
	ended := v.cutOff
	v.cutOff = false
	v.mu.Unlock()
	if ended && v.cfg.OnConnection != nil {
		v.cfg.OnConnection(false)
	}
}

// noticeAbsence notices that this node has stored no beat for so long that others may have
// found it silent. The lock is held.
func (v *View) noticeAbsence() {
	if time.Since(v.good) > v.timing.absence() {
		v.setAway(v.good)
	}
}

func (v *View) setAway(since time.Time) {
	if v.away = true; since.After(v.start) {
		v.before = since
	}
}

// noticeGap notices that this node's beat was stored, by the server's clock, so long after
// the one before that others may have found it silent: its host may have been stopped, and
// its clock with it. The lock is held.
func (v *View) noticeGap(at string) {
	stored, err := time.Parse(time.RFC3339Nano, at)
	if err != nil {
		return
	}
	if !v.stored.IsZero() && stored.Sub(v.stored) > v.timing.absence() && !v.away {
		v.setAway(v.lastGood)
	}
	v.stored = stored
}

// AwaySince returns when a beat of this node was acknowledged last before others may have
// found it silent; the zero time if none was since its start.
func (v *View) AwaySince() time.Time {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.before
}

// checkVerdict finds that others have found this node silent. That is no event if it was not.
func (v *View) checkVerdict() {
	by, order := v.member.State.Return()
	switch {
	case order == 0 || !v.loaded || order == v.returned:
	case v.away:
		v.returned = order
		v.pending = append(v.pending, ownership.Event{Kind: ownership.Returned, Order: order, Node: v.cfg.Node, Other: by,
			Beat: v.member.State.ReturnBeat()})
	case v.member.State.OwnBeat() < order: // the next one shows whether it was silent
	default:
		v.member.State.DismissVerdict()
		if more, ok := v.refusals.Allow(); ok {
			v.log.Warn("another node has stored that this one is silent, which it is not", "by", by, "more", more)
		}
	}
}
