// Package fleet joins this node's agent table and the shared view of its cluster: it is the
// fleet of all nodes, in which each agent is once, on the node that has it.
//
// Of an agent of another node nothing is kept here: where it is comes from the shared view, and
// its name from what this node's link knows, for each page that is read. Only the counts of all
// agents are kept, by [Fleet.Run]. All methods may be called concurrently.
package fleet

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
	"unique"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/ownership"
	"github.com/wazuh-pulse/pulse/internal/view"
)

// Table has the agents of this node: the detector.
type Table interface {
	Page(n int) (page []detector.Record, more bool)
	Agent(id detector.AgentID) (detector.Record, bool)
	Ping(ctx context.Context, id detector.AgentID) (detector.Answer, error)
	Counts() detector.Counts
}

// Claims have what all nodes have claimed: the shared view.
type Claims interface {
	PagePlaces(list []ownership.Place, n int) (page []ownership.Place, more bool)
	Locate(list []ownership.Place, agents []ownership.AgentID) []ownership.Place
	Elsewhere(id ownership.AgentID) (ownership.Owner, bool)
	Nodes() []ownership.Node
}

// Identity is what is known of an agent besides where it is.
type Identity struct {
	Name string
	IP   string                       // the address it is registered under: "any", an address or a network
	Info unique.Handle[detector.Info] // the zero value is for nothing
}

// Config configures a fleet.
type Config struct {
	Table  Table
	Claims Claims
	Clock  *detector.Clock

	// Identify returns what this node's link knows of an agent that is not in the table; the
	// zero value for nothing. It is called for every agent of a page.
	Identify func(detector.AgentID) Identity
	// Duplicated reports whether two machines use an agent's key. Nil for never.
	Duplicated func(detector.AgentID) bool
	// Coarse reports whether a node's agents are seen through the manager's database only: its
	// Pulse is lost, and this node watches them. Nil for never.
	Coarse func(node string) bool
}

// Settings are what the settings say of agents of any node.
type Settings struct {
	GroupOf      detector.GroupOf // nil: there are no groups
	DormantAfter time.Duration    // 0: no agent is dormant
}

// Fleet is the fleet of a cluster. See [New].
type Fleet struct {
	Config
	settings atomic.Pointer[Settings]
	names    atomic.Pointer[[]string] // of the nodes, by their numbers
	counts   atomic.Pointer[detector.Counts]
	asked    atomic.Bool // for the counts, since they were made
}

// New returns the fleet of all nodes.
func New(cfg Config, set Settings) *Fleet {
	f := &Fleet{Config: cfg}
	f.SetSettings(set)
	return f
}

// SetSettings replaces the settings.
func (f *Fleet) SetSettings(set Settings) { f.settings.Store(&set) }

// NodeName returns the name of the node with a number, 0 for this one.
func (f *Fleet) NodeName(n uint8) string {
	if names := f.names.Load(); names != nil && int(n) < len(*names) {
		return (*names)[n]
	}
	names := f.NodeNames()
	if int(n) < len(names) {
		return names[n]
	}
	return ""
}

// NodeNames returns the names of all nodes, by their numbers: this node is the first.
func (f *Fleet) NodeNames() []string {
	nodes := f.Claims.Nodes()
	names := make([]string, len(nodes))
	for i := range nodes {
		names[i] = nodes[i].Name
	}
	f.names.Store(&names)
	return names
}

// ElsewhereError is the error of a request to an agent that another node has.
type ElsewhereError struct{ Node string }

func (e *ElsewhereError) Error() string {
	return fmt.Sprintf("the agent is on node %s, which alone can send it a keep-alive", e.Node)
}

// Ping sends an agent of this node a keep-alive: see [detector.Detector.Ping].
func (f *Fleet) Ping(ctx context.Context, id detector.AgentID) (detector.Answer, error) {
	if r, ok := f.Agent(id); ok && r.Node != 0 {
		return detector.Answer{}, &ElsewhereError{f.NodeName(r.Node)}
	}
	return f.Table.Ping(ctx, id)
}

// Describe returns an agent by what is claimed of it, and not by the table.
func (f *Fleet) Describe(id detector.AgentID) (detector.Record, bool) {
	p := f.Claims.Locate(nil, []ownership.AgentID{ownership.AgentID(id)})
	if !p[0].Known {
		return detector.Record{}, false
	}
	page := newPage(f, false)
	page.addPlace(&p[0])
	return page.finish()[0], true
}

// Agent returns one agent.
func (f *Fleet) Agent(id detector.AgentID) (detector.Record, bool) {
	p := f.Claims.Locate(nil, []ownership.AgentID{ownership.AgentID(id)})
	r, ok := f.Table.Agent(id)
	if !ok && !p[0].Known {
		return r, false
	}
	page := newPage(f, false)
	if !ok {
		page.addPlace(&p[0])
	} else {
		page.records = []detector.Record{r}
		page.joinPlaces(p)
	}
	return page.finish()[0], true
}

// Page returns page n of the table. It is for readers of all pages that do not begin with
// [Fleet.BeginReading], and so see the agents of this node only.
func (f *Fleet) Page(n int) (page []detector.Record, more bool) { return f.Table.Page(n) }

// BeginReading returns the fleet for one reading of all its pages, in their order. An agent that
// moves to another node meanwhile is read once.
func (f *Fleet) BeginReading() view.Fleet { return newReading(f, false) }

// reading reads first the table and then what else there is in the shared view. Its buffers are
// used for each page again.
type reading struct {
	*page
	tablePages, placePages int // that were read
	tableEnd               bool
	seen                   idSet
	ids                    []ownership.AgentID
	found                  []ownership.Place
}

func newReading(f *Fleet, brief bool) *reading { return &reading{page: newPage(f, brief)} }

// Page returns the next page, which is valid until that after it.
func (r *reading) Page(int) (records []detector.Record, more bool) {
	r.reset()
	if !r.tableEnd {
		r.readTablePage()
		return r.finish(), true
	}
	r.found, more = r.fleet.Claims.PagePlaces(r.found[:0], r.placePages)
	r.placePages++
	for i := range r.found {
		if p := &r.found[i]; isAgent(p) && r.seen.add(uint32(p.Agent)) {
			r.addFound(p)
		}
	}
	return r.finish(), more
}

func (r *reading) readTablePage() {
	list, more := r.fleet.Table.Page(r.tablePages)
	r.tablePages, r.tableEnd = r.tablePages+1, !more
	r.ids = r.ids[:0]
	for i := range list {
		r.seen.add(uint32(list[i].ID))
		r.ids = append(r.ids, ownership.AgentID(list[i].ID))
	}
	r.found = r.fleet.Claims.Locate(r.found[:0], r.ids)
	r.records = list
	r.joinPlaces(r.found)
}

// addFound adds an agent that was not in the table when that was read.
func (r *reading) addFound(p *ownership.Place) {
	if p.Node == 0 {
		if own, ok := r.fleet.Table.Agent(detector.AgentID(p.Agent)); ok {
			r.records = append(r.records, own)
			return
		}
	}
	r.addPlace(p)
}

// isAgent reports whether a claim is of a number that agents have.
func isAgent(p *ownership.Place) bool {
	return p.Agent > 0 && detector.AgentID(p.Agent) <= detector.MaxAgentID
}
