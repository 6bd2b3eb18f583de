package cluster

import (
	"sync"
	"time"
)

// target is up to which order there are records, as far as the nodes say. A node that said
// more than is true is not listened to for a while: its own records are then read when
// another node has stored some.
type target struct {
	changed chan struct{} // has a value when it was raised

	mu    sync.Mutex
	order uint64
	node  string               // which said so; "" for this node
	wrong map[string]time.Time // when nodes said what is not true
}

const (
	distrustTime = time.Minute
	distrustMax  = 64 // nodes
)

func newTarget() *target {
	return &target{changed: make(chan struct{}, 1), wrong: make(map[string]time.Time)}
}

func (t *target) raise(order uint64, node string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if at, is := t.wrong[node]; is && time.Since(at) < distrustTime || order <= t.order {
		return
	}
	t.order, t.node = order, node
	t.signal()
}

// signal has the reader read.
func (t *target) signal() {
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

func (t *target) read() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.order
}

// giveUp lowers the target to what there is, and returns the node that said more.
func (t *target) giveUp(position uint64) (node string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.order <= position {
		return ""
	}
	node, t.order, t.node = t.node, position, ""
	if node == "" {
		return ""
	}
	if len(t.wrong) >= distrustMax {
		clear(t.wrong)
	}
	t.wrong[node] = time.Now()
	return node
}
