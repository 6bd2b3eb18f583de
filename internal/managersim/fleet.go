package managersim

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/internal/clientkeys"
)

// FleetConfig configures the managers of a cluster. Dir and Nodes are required.
type FleetConfig struct {
	Dir   string           // the homes are in it: NODE; paths may have LongestHome bytes
	Nodes []string         // the nodes' names, the master's first
	Keys  []clientkeys.Key // the agents registered at the start

	Manager Config // of each manager, without Home, Keys and Cluster

	Sync      time.Duration // between two rounds in which a worker sends its agents' changes: 10 s, negative for none
	Integrity time.Duration // between two rounds in which the workers take over client.keys: 9 s, negative for none
	// Transfer returns how long a worker's changes take to the master; nil for no time.
	Transfer func() time.Duration
}

// Fleet is the managers of a cluster, and what wazuh-clusterd does between them: every round
// a worker marks its changes as sent, sends them, and the master writes them over what it has.
// Changes that are under way when a link is cut are lost.
//
// [StartFleet] starts the managers and two goroutines for each worker. All methods may be
// called from any goroutine.
type Fleet struct {
	cfg    FleetConfig
	nodes  []*fleetNode // the master first
	rounds daemon
}

// fleetNode is one manager of a cluster.
type fleetNode struct {
	*Manager
	name     string
	internal clusterSocket

	mu       sync.Mutex
	down     bool
	cut      bool // it has no link to the master
	loses    int  // rounds that are lost on the way
	applying bool // the master is still writing the round before
}

// StartFleet starts the managers of a cluster.
func StartFleet(cfg FleetConfig) (f *Fleet, err error) {
	cfg.Sync, cfg.Integrity = cmp.Or(cfg.Sync, 10*time.Second), cmp.Or(cfg.Integrity, 9*time.Second)
	if cfg.Transfer == nil {
		cfg.Transfer = func() time.Duration { return 0 }
	}
	f = &Fleet{cfg: cfg}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	f.rounds.markRunning()
	for i, name := range cfg.Nodes {
		c := cfg.Manager
		c.Home, c.Keys = filepath.Join(cfg.Dir, name), cfg.Keys
		c.Cluster = Cluster{Node: name, Type: "worker"}
		if i == 0 {
			c.Cluster.Type = "master"
		}
		if err := os.MkdirAll(c.Home, 0o700); err != nil {
			return f, err
		}
		m, err := Start(c)
		if err != nil {
			return f, err
		}
		n := &fleetNode{Manager: m, name: name}
		n.internal.fleet, n.internal.node = f, n
		f.nodes = append(f.nodes, n)
		if err := n.internal.startDaemon(); err != nil {
			return f, err
		}
	}
	for _, n := range f.nodes[min(1, len(f.nodes)):] {
		f.repeatRounds(cfg.Sync, func() error { return f.SyncAgents(n.name) })
		f.repeatRounds(cfg.Integrity, func() error { return f.SyncKeys(n.name) })
	}
	return f, nil
}

// Close stops all managers.
func (f *Fleet) Close() (err error) {
	f.rounds.stopAndWait()
	for _, n := range f.nodes {
		n.internal.stopAndWait()
		err = errors.Join(err, n.Manager.Close())
	}
	return err
}

func (f *Fleet) repeatRounds(period time.Duration, round func() error) {
	if period < 0 {
		return
	}
	f.rounds.goRun(func() {
		for {
			wait := time.NewTimer(period) // after the round before has ended
			select {
			case <-wait.C:
			case <-f.rounds.quit:
				wait.Stop()
				return
			}
			if err := round(); err != nil && !errors.Is(err, errRound) {
				f.nodes[0].cfg.Log.Error("a round of the cluster failed", "error", err)
			}
		}
	})
}

// Manager returns a node's manager; nil for none of the name.
func (f *Fleet) Manager(name string) *Manager {
	if n := f.findNode(name); n != nil {
		return n.Manager
	}
	return nil
}

// Master returns the master's manager.
func (f *Fleet) Master() *Manager { return f.nodes[0].Manager }

func (f *Fleet) findNode(name string) *fleetNode {
	if i := slices.IndexFunc(f.nodes, func(n *fleetNode) bool { return n.name == name }); i >= 0 {
		return f.nodes[i]
	}
	return nil
}

// SetCut cuts a worker's link to the master, or restores it.
func (f *Fleet) SetCut(name string, cut bool) {
	f.findNode(name).change(func(n *fleetNode) { n.cut = cut })
}

// LoseSyncs has the next rounds of a worker lost on their way.
func (f *Fleet) LoseSyncs(name string, rounds int) {
	f.findNode(name).change(func(n *fleetNode) { n.loses += rounds })
}

// StopNode ends all of a node at once, as the death of its host does. Its files stay.
func (f *Fleet) StopNode(name string) {
	n := f.findNode(name)
	n.change(func(n *fleetNode) { n.down = true })
	n.internal.stopAndWait()
	n.monitord.stopAndWait()
	n.remoted.stopAndWait()
	n.wazuhDB.stopAndWait()
	n.analysisd.stopAndWait()
}

// StartNode starts a node again.
func (f *Fleet) StartNode(name string) error {
	n := f.findNode(name)
	for _, run := range []func() error{n.wazuhDB.startDaemon, n.analysisd.startDaemon, n.remoted.startDaemon, n.monitord.startDaemon, n.internal.startDaemon} {
		if err := run(); err != nil {
			return fmt.Errorf("start %s: %w", name, err)
		}
	}
	n.change(func(n *fleetNode) { n.down = false })
	return nil
}

func (n *fleetNode) change(f func(*fleetNode)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f(n)
}

// isLinked reports whether a worker and the master reach each other.
func (f *Fleet) isLinked(n *fleetNode) bool {
	linked := true
	for _, side := range []*fleetNode{f.nodes[0], n} {
		side.change(func(side *fleetNode) { linked = linked && !side.down && !side.cut })
	}
	return linked
}
