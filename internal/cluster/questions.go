package cluster

import (
	"time"

	"github.com/wazuh-pulse/pulse/internal/ownership"
)

// Owner returns where an agent is, or was last: see [ownership.State.Owner].
func (v *View) Owner(id ownership.AgentID) (ownership.Owner, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.member.State.Owner(id)
}

// Elsewhere returns which other node has an agent by now: see [ownership.Member.Elsewhere].
func (v *View) Elsewhere(id ownership.AgentID) (ownership.Owner, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.member.Elsewhere(id)
}

// LaterClaim returns the latest claim of an agent by another node: see [ownership.Member.LaterClaim].
func (v *View) LaterClaim(id ownership.AgentID) (ownership.Owner, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.member.LaterClaim(id)
}

// IsHere reports whether an agent has shown itself on this node: see [ownership.Member.IsHere].
func (v *View) IsHere(id ownership.AgentID) bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.member.IsHere(id)
}

// Claims returns all nodes' claims of an agent: see [ownership.State.Claims].
func (v *View) Claims(id ownership.AgentID) []ownership.Owner {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.member.State.Claims(id)
}

// PageClaims appends page n of the claims of all nodes: see [ownership.State.PageClaims].
func (v *View) PageClaims(list []ownership.Located, n int) (page []ownership.Located, more bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.member.State.PageClaims(list, n)
}

// PagePlaces appends page n of the places of agents: see [ownership.State.PagePlaces].
func (v *View) PagePlaces(list []ownership.Place, n int) (page []ownership.Place, more bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.member.State.PagePlaces(list, n)
}

// Locate appends where agents are: see [ownership.Member.Locate].
func (v *View) Locate(list []ownership.Place, agents []ownership.AgentID) []ownership.Place {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.member.Locate(list, agents)
}

// Nodes returns all nodes, this one first.
func (v *View) Nodes() []ownership.Node {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.member.State.Nodes()
}

// SeenAt returns when the latest sign of life of another node was read; the zero time for none.
func (v *View) SeenAt(node string) time.Time {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.seen[node]
}

// IsAnnounced reports whether a node says that it has announced the loss of one: see
// [ownership.State.IsAnnounced].
func (v *View) IsAnnounced(node string, beat uint64) bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.member.State.IsAnnounced(node, beat)
}

// IsLoaded reports whether everything that the bucket has was read.
func (v *View) IsLoaded() bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.loaded
}
