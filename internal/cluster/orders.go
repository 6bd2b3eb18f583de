package cluster

import "github.com/wazuh-pulse/pulse/internal/ownership"

// ordersPerSecond is more than a bucket stores, so that another one begins behind all of its
// orders. Up to the year 2255, an order is exact in JSON.
const ordersPerSecond = 1_000_000

// StatementOrder returns an order for what this node states of an agent now: see
// [ownership.Member.StatementOrder] and DatedOrder.
func (v *View) StatementOrder(id ownership.AgentID, here bool) uint64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return max(v.datedOrder(v.member.StatementOrder(id, here)), v.restored[id])
}

// DeclaredOrder returns the order of another node's latest record that an agent is lost with
// this node, as statements have it; 0 for none.
func (v *View) DeclaredOrder(id ownership.AgentID) uint64 {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if order := v.member.Own.DeclaredOrder(id); order > 0 {
		return v.datedOrder(order)
	}
	return 0
}

// DatedOrder returns an order of the bucket as statements have it, which outlast the bucket:
// the orders of a bucket that is made later are higher. 0 if the bucket was never read.
func (v *View) DatedOrder(order uint64) uint64 {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.datedOrder(order)
}

func (v *View) datedOrder(order uint64) uint64 {
	if v.created.IsZero() {
		return 0
	}
	return uint64(max(0, v.created.Unix()))*ordersPerSecond + order
}

// reconcileRestored takes up what the run before this one has published. Orders of a bucket that
// was made before this one are before all of this one.
func (v *View) reconcileRestored() {
	for i := range v.cfg.Restored {
		r := &v.cfg.Restored[i]
		r.Order -= min(r.Order, v.datedOrder(0))
	}
	v.member.ReconcileRestored(v.cfg.Restored)
	v.cfg.Restored, v.restored = nil, nil
}
