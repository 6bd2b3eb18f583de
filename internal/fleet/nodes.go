package fleet

import (
	"slices"
	"strings"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/ownership"
	"github.com/wazuh-pulse/pulse/internal/view"
)

// Beats are this node's signs of life, as its shared view has them.
type Beats struct {
	Period time.Duration // between two
	Last   time.Time     // when the last one was acknowledged
	CutOff bool          // that is too long ago
}

// ListNodes returns all nodes, by their names. Self is what this node says of itself.
func (f *Fleet) ListNodes(self view.Node, beats Beats, now time.Time) []view.Node {
	var list []view.Node
	for _, n := range f.Claims.Nodes() {
		switch {
		case n.Self:
			list = append(list, f.newSelf(self, beats, now))
		case n.Order > 0 || n.Agents > 0:
			list = append(list, f.newNode(&n, beats, now))
		}
	}
	slices.SortFunc(list, func(a, b view.Node) int { return strings.Compare(a.Name, b.Name) })
	return list
}

func (f *Fleet) newSelf(n view.Node, beats Beats, now time.Time) view.Node {
	counts := f.Table.Counts().ByStatus
	n.Self, n.State, n.Agents = true, view.NodeUp, counts[detector.Active]+counts[detector.Pending]
	n.BeatAge = max(now.Sub(beats.Last), 0).Round(time.Second).Seconds()
	since := n.Started
	if beats.CutOff {
		n.State, since = view.NodeCutOff, view.TruncateTime(beats.Last)
	}
	n.Since = &since
	return n
}

// newNode presents another node. Its silence is counted in beats of this one.
func (f *Fleet) newNode(n *ownership.Node, beats Beats, now time.Time) view.Node {
	silent := time.Duration(n.Missed) * beats.Period
	shown := view.Node{Name: n.Name, Role: n.Beat.Role.String(), Version: n.Beat.Version, Agents: n.Agents,
		Started: time.Unix(int64(n.Beat.Started), 0).UTC(), State: view.NodeUp, Missed: n.Missed, BeatAge: silent.Seconds()}
	since := shown.Started
	switch {
	case n.Order == 0:
		shown.State = view.NodeUnknown
		return shown
	case n.Lost:
		shown.State, since = view.NodeLost, now.Add(-silent).UTC().Truncate(time.Second)
		shown.Coarse = f.Coarse != nil && f.Coarse(n.Name)
	case beats.CutOff:
		shown.State, since = view.NodeUnknown, view.TruncateTime(beats.Last)
	}
	shown.Since = &since
	return shown
}
