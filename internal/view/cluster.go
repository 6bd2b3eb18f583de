package view

import "time"

// Clustered is a fleet whose agents are on several nodes.
type Clustered interface {
	NodeName(n uint8) string // of the node with a number, 0 for this one
	NodeNames() []string     // by their numbers
}

// NodeName returns the name of the node with a number; "" for a fleet of one node.
func NodeName(fleet any, n uint8) string {
	if c, ok := fleet.(Clustered); ok {
		return c.NodeName(n)
	}
	return ""
}

// NodeNames returns the names of all nodes; nil for a fleet of one node.
func NodeNames(fleet any) []string {
	if c, ok := fleet.(Clustered); ok {
		return c.NodeNames()
	}
	return nil
}

// MatchNodes returns which nodes of a fleet have a name that matches a pattern, for
// [Filter.Nodes]; nil for the empty pattern. A fleet of one node is that of the node self.
func MatchNodes(fleet any, self, pattern string) *[256]bool {
	if pattern == "" {
		return nil
	}
	names := NodeNames(fleet)
	if names == nil {
		names = []string{self}
	}
	matching := new([256]bool)
	for i, name := range names {
		matching[i] = matchPattern(pattern, name)
	}
	return matching
}

// The states of a node.
const (
	NodeUp      = "up"
	NodeLost    = "lost"
	NodeCutOff  = "cut_off" // this node, from the others
	NodeUnknown = "unknown" // another one, which this node cannot see
)

// Node is a node of the cluster.
type Node struct {
	Name    string     `json:"name"`
	Self    bool       `json:"self,omitempty"` // it is the one that answers
	Role    string     `json:"role"`           // alone, master, worker or listener
	Version string     `json:"version"`        // of its Pulse
	Agents  int        `json:"agents"`         // that it has
	Started time.Time  `json:"started"`        // its Pulse, by its own clock
	Since   *time.Time `json:"since,omitempty"`
	State   string     `json:"state"`                  // up, lost, cut_off or unknown
	BeatAge float64    `json:"beat_age_s"`             // how old its last sign of life is, in seconds: at least
	Coarse  bool       `json:"coarse,omitempty"`       // it is lost, and its agents are seen through the manager's database
	Missed  int        `json:"missed_beats,omitempty"` // beats of the node that answers since then
}

// NodeList has the nodes of a cluster, as /api/v1/nodes shows them.
type NodeList struct {
	Node    string `json:"node"` // the one that answers
	Cluster bool   `json:"cluster"`
	Nodes   []Node `json:"nodes"` // in the order of their names
}
