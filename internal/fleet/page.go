package fleet

import (
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/ownership"
)

// page is a page in the making. The addresses of agents of other nodes are parts of one text,
// so that they are one allocation.
type page struct {
	fleet   *Fleet
	set     *Settings
	records []detector.Record
	epoch   detector.Instant // of Unix time 0
	now     detector.Instant
	brief   bool // only statuses are needed

	text      []byte
	addresses []address
}

// address is where an agent's address is in the text.
type address struct{ record, from, to int }

func newPage(f *Fleet, brief bool) *page {
	return &page{fleet: f, set: f.settings.Load(), epoch: f.Clock.Instant(time.Unix(0, 0)), now: f.Clock.Now(), brief: brief}
}

// reset begins another page.
func (p *page) reset() { p.records, p.text, p.addresses = p.records[:0], p.text[:0], p.addresses[:0] }

// joinPlaces changes records of the table by where the agents are: one for each.
func (p *page) joinPlaces(places []ownership.Place) {
	for i := range p.records {
		r, at := &p.records[i], &places[i]
		if p.isElsewhere(r, at) {
			p.movePlace(i, at)
			continue
		}
		if p.fleet.Duplicated != nil {
			r.Duplicated = p.fleet.Duplicated(r.ID)
		}
		if at.Node != 0 && at.NodeLost && p.isCoarse(at.Node) {
			r.Node, r.Coarse = at.Node, true
		}
	}
}

func (p *page) isCoarse(node uint8) bool {
	return p.fleet.Coarse != nil && p.fleet.Coarse(p.fleet.NodeName(node))
}

// isElsewhere reports whether an agent of the table is another node's, or was last. What this
// node sees itself comes first, unless the other node has seen the agent later.
func (p *page) isElsewhere(r *detector.Record, at *ownership.Place) bool {
	if at.Node == 0 || !at.Known {
		return false
	}
	if r.Status != detector.Active && r.Status != detector.Pending {
		return true
	}
	_, newer := p.fleet.Claims.Elsewhere(at.Agent)
	return newer
}

// addPlace adds an agent that is not in the table.
func (p *page) addPlace(at *ownership.Place) {
	p.records = append(p.records, detector.Record{})
	r := &p.records[len(p.records)-1]
	r.ID = detector.AgentID(at.Agent)
	if p.brief {
		p.setPlace(r, at)
		return
	}
	known := p.fleet.Identify(r.ID)
	r.Name, r.IP, r.Info = known.Name, known.IP, known.Info
	p.setPlace(r, at)
	p.setDetails(len(p.records)-1, at)
	if p.set.GroupOf != nil {
		r.Group = p.set.GroupOf(r.ID, r.Name, at.Addr, detector.ReadInfo(r.Info))
	}
}

// movePlace makes a record of the table one of the node that has the agent.
func (p *page) movePlace(i int, at *ownership.Place) {
	r := &p.records[i]
	*r = detector.Record{ID: r.ID, Name: r.Name, IP: r.IP, Info: r.Info, Group: r.Group}
	p.setPlace(r, at)
	if !p.brief {
		p.setDetails(i, at)
	}
}

// setPlace sets what a claim has of an agent's status. The sign of life in it is as old as the
// claim, and so of use only if the agent has left.
func (p *page) setPlace(r *detector.Record, at *ownership.Place) {
	r.Node, r.Since = at.Node, p.instantOf(at.Since)
	if at.Reason != ownership.Here {
		r.Status, r.Reason = detector.Disconnected, reasonOf(at)
		r.LastSeen, r.Seen = p.instantOf(at.Sign), at.Sign > 0
		r.Dormant = p.set.DormantAfter > 0 && p.now.Sub(r.Since) >= p.set.DormantAfter
	}
}

// setDetails sets the address and the marks of an agent of another node.
func (p *page) setDetails(i int, at *ownership.Place) {
	r := &p.records[i]
	if p.fleet.Duplicated != nil {
		r.Duplicated = p.fleet.Duplicated(r.ID)
	}
	r.Coarse = p.isCoarse(at.Node)
	if at.Addr.IsValid() {
		from := len(p.text)
		p.text = at.Addr.AppendTo(p.text)
		p.addresses = append(p.addresses, address{i, from, len(p.text)})
	}
}

// reasonOf returns why an agent has left the node that had it; none if the node has not told.
func reasonOf(at *ownership.Place) detector.Reason {
	switch {
	case at.Reason == ownership.Stopped:
		return detector.AgentShutdown
	case at.Reason == ownership.Lost && at.NodeLost:
		return detector.NodeLost
	}
	return detector.NoReason
}

func (p *page) instantOf(unix uint32) detector.Instant {
	return p.epoch.Add(time.Duration(unix) * time.Second)
}

// finish returns the records.
func (p *page) finish() []detector.Record {
	text := string(p.text)
	for _, a := range p.addresses {
		p.records[a.record].IP = text[a.from:a.to]
	}
	return p.records
}
