package managersim

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// What wazuh-clusterd carries between the nodes: wazuh-cluster.md, C.2, and the recordings of
// the real one.

// errRound is the error of a round that had no effect at the master.
var errRound = errors.New("the round does not reach the master")

// sentColumns are the columns that a worker sends of an agent, by sync_status.
var sentColumns = []struct{ kind, columns string }{
	{syncAll, syncColumns[0].columns},
	{syncKeepAlive, `id, version`},
	{syncStatusOnly, `id, version, connection_status, disconnection_time, status_code`},
}

// SyncAgents sends what has changed of a worker's agents to the master, as clusterd does
// every 10 s. What is lost on its way is not sent again.
func (f *Fleet) SyncAgents(name string) error {
	n := f.findNode(name)
	if !f.isLinked(n) {
		return fmt.Errorf("%w: no link", errRound)
	}
	refused := false
	n.change(func(n *fleetNode) { refused, n.applying = n.applying, true })
	if refused {
		return fmt.Errorf("%w: the master is still writing the round before", errRound)
	}
	defer n.change(func(n *fleetNode) { n.applying = false })
	sent, err := n.store.takeUnsynced()
	if err != nil {
		return err
	}
	n.changes.notifyAll()
	lost := false
	n.change(func(n *fleetNode) {
		if n.loses > 0 {
			n.loses, lost = n.loses-1, true
		}
	})
	select {
	case <-time.After(f.cfg.Transfer()):
	case <-f.rounds.quit:
		return errRound
	}
	if lost || !f.isLinked(n) {
		return fmt.Errorf("%w: it was lost on its way", errRound)
	}
	if err := f.nodes[0].store.applySynced(sent); err != nil {
		return fmt.Errorf("the master writes the agents of %s: %w", name, err)
	}
	f.nodes[0].changes.notifyAll()
	return nil
}

// SyncKeys has a worker take over the master's client.keys, as clusterd does every 9 s, and
// wazuh-modulesd make rows of it.
func (f *Fleet) SyncKeys(name string) error {
	n := f.findNode(name)
	if !f.isLinked(n) {
		return fmt.Errorf("%w: no link", errRound)
	}
	n.enrolMu.Lock()
	defer n.enrolMu.Unlock()
	keys, has := f.nodes[0].currentKeys(), map[string]bool{}
	for _, k := range keys {
		has[k.ID] = true
	}
	for _, k := range n.currentKeys() {
		if has[k.ID] {
			continue
		}
		if _, err := n.store.deleteAgent(k.ID); err != nil {
			return err
		}
		n.remoted.closePeer(k.ID)
	}
	return n.writeKeys(keys)
}

// takeUnsynced returns a worker's changes, by sync_status, and marks them as synced.
func (s *store) takeUnsynced() (map[string][]json.RawMessage, error) {
	sent := make(map[string][]json.RawMessage)
	for _, c := range sentColumns {
		rows, err := s.queryRows(`UPDATE agent SET sync_status = 'synced' WHERE id > 0 AND sync_status = ? RETURNING `+c.columns, c.kind)
		if err != nil {
			return nil, err
		}
		sent[c.kind] = rows
	}
	return sent, nil
}

// applySynced is the master's side. It compares nothing: the last writer wins. A keep-alive
// has the time of the master's clock, at this moment, and never the node.
func (s *store) applySynced(sent map[string][]json.RawMessage) error {
	for _, row := range sent[syncAll] {
		if err := s.applyFullRow(row); err != nil {
			return err
		}
	}
	for _, kind := range []string{syncKeepAlive, syncStatusOnly} {
		for _, row := range sent[kind] {
			var a struct {
				ID         int64   `json:"id"`
				Version    *string `json:"version"`
				Connection string  `json:"connection_status"`
				Parted     int64   `json:"disconnection_time"`
				Code       int64   `json:"status_code"`
			}
			if err := json.Unmarshal(row, &a); err != nil {
				return err
			}
			var err error
			if kind == syncKeepAlive {
				err = s.execute(`UPDATE agent SET connection_status = 'active', disconnection_time = 0, status_code = 0, last_keepalive = ?, version = ? WHERE id = ?`, s.now(), a.Version, a.ID)
			} else {
				err = s.execute(`UPDATE agent SET connection_status = ?, disconnection_time = ?, status_code = ?, version = ? WHERE id = ?`, a.Connection, a.Parted, a.Code, a.Version, a.ID)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// applyFullRow writes all that was sent of an agent that the master has.
func (s *store) applyFullRow(row json.RawMessage) error {
	var a map[string]any
	if err := json.Unmarshal(row, &a); err != nil {
		return err
	}
	id := a["id"]
	set, values := "", []any{}
	for _, name := range []string{"ip", "os_name", "os_version", "os_major", "os_minor", "os_codename", "os_build", "os_platform", "os_uname", "os_arch", "version",
		"config_sum", "merged_sum", "manager_host", "node_name", "last_keepalive", "connection_status", "disconnection_time", "group_config_status", "status_code"} {
		if v, has := a[name]; has {
			set += name + " = ?, "
			values = append(values, v)
		}
	}
	return s.execute(`UPDATE agent SET `+set+`sync_status = 'synced' WHERE id = ?`, append(values, id)...)
}
