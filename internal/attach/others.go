package attach

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"sync"
	"unique"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// other is what is known of an agent that another node has, or none.
type other struct {
	name, registered string
	keepAlive        int64
	info             unique.Handle[detector.Info]
}

// otherAgents has all of them. In a cluster they are most agents, so that each takes 32 bytes and
// its name. The tracker changes it; it may be read concurrently.
type otherAgents struct {
	mu    sync.RWMutex
	read  []packedOther                    // by the last inventory, in the order of their ids
	since map[detector.AgentID]packedOther // that were not among these
}

// packedOther is an other in little memory.
type packedOther struct {
	id     detector.AgentID
	second uint32 // of the last keep-alive
	text   string // its name and, after a zero byte, where it is registered; empty for none
	info   unique.Handle[detector.Info]
}

// maxSecond is the last keep-alive that has room.
const maxSecond = math.MaxUint32

func packOther(id detector.AgentID, a *other) packedOther {
	return packedOther{id: id, second: uint32(max(min(a.keepAlive, maxSecond), 0)), text: a.name + "\x00" + a.registered, info: a.info}
}

func (p *packedOther) unpack() (a other, ok bool) {
	a.name, a.registered, ok = strings.Cut(p.text, "\x00") // which no name has that is printable
	if ok {
		a.keepAlive, a.info = int64(p.second), p.info
	}
	return a, ok
}

// findPacked returns where an agent is among those of the last inventory. The caller holds mu.
func (o *otherAgents) findPacked(id detector.AgentID) (at int, ok bool) {
	return slices.BinarySearchFunc(o.read, id, func(p packedOther, id detector.AgentID) int { return cmp.Compare(p.id, id) })
}

// findOther returns an agent that is not known here.
func (o *otherAgents) findOther(id detector.AgentID) (a other, ok bool) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	if at, ok := o.findPacked(id); ok {
		return o.read[at].unpack()
	}
	p := o.since[id]
	return p.unpack()
}

// setOther records an agent that is not known here.
func (o *otherAgents) setOther(id detector.AgentID, a other) { o.setPacked(packOther(id, &a)) }

func (o *otherAgents) forgetOther(id detector.AgentID) { o.setPacked(packedOther{id: id}) }

func (o *otherAgents) setPacked(p packedOther) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if at, ok := o.findPacked(p.id); ok {
		o.read[at] = p
	} else if p.text == "" {
		delete(o.since, p.id)
	} else {
		if o.since == nil {
			o.since = make(map[detector.AgentID]packedOther)
		}
		o.since[p.id] = p
	}
}

// replaceOthers replaces all with those of an inventory, in any order. One that has moved while
// it was read may be in it twice.
func (o *otherAgents) replaceOthers(all []packedOther) {
	slices.SortStableFunc(all, func(a, b packedOther) int { return cmp.Compare(a.id, b.id) })
	all = slices.CompactFunc(all, func(a, b packedOther) bool { return a.id == b.id })
	o.mu.Lock()
	defer o.mu.Unlock()
	o.read, o.since = slices.Clip(all), nil
}
