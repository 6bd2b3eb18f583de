package managersim

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/wazuh-pulse/pulse/internal/clientkeys"
)

// Manager is a stock manager at work.
type Manager struct {
	cfg    Config
	store  *store
	faults faults
	count  counters
	book   book
	bell   bell
	stall  stall

	keys    atomic.Pointer[clientkeys.Set]
	enrolMu sync.Mutex

	remoted   remoted
	wazuhDB   wazuhDB
	analysisd analysisd
	monitord  monitord
}

// Start makes the home and starts all daemons in it.
func Start(cfg Config) (m *Manager, err error) {
	m = &Manager{cfg: cfg.withDefaults()}
	m.remoted.Manager, m.wazuhDB.Manager, m.analysisd.Manager, m.monitord.Manager = m, m, m, m
	defer func() {
		if err != nil {
			_ = m.Close()
			err = fmt.Errorf("start a manager in %s: %w", m.cfg.Home, err)
		}
	}()
	if err := m.furnish(); err != nil {
		return m, err
	}
	if m.store, err = openStore(filepath.Join(m.cfg.Home, "queue/db/global.db"), m.cfg.Now, m.cfg.before(4, 6)); err != nil {
		return m, err
	}
	if m.wazuhDB.agents, err = openStore(":memory:", m.cfg.Now, false); err != nil {
		return m, err
	}
	m.enrolMu.Lock()
	err = m.register(m.cfg.Keys)
	m.enrolMu.Unlock()
	if err != nil {
		return m, err
	}
	for _, run := range []func() error{m.wazuhDB.run, m.analysisd.run, m.remoted.run, m.monitord.run} {
		if err := run(); err != nil {
			return m, err
		}
	}
	return m, nil
}

// Close stops all daemons. The home and what is in it stay.
func (m *Manager) Close() error {
	m.monitord.stop()
	m.remoted.stop()
	m.wazuhDB.stop()
	m.analysisd.stop()
	var err error
	for _, s := range []*store{m.store, m.wazuhDB.agents} {
		if s != nil {
			err = errors.Join(err, s.db.Close())
		}
	}
	return err
}

// Home is the manager's directory.
func (m *Manager) Home() string { return m.cfg.Home }

// AgentAddr is where agents connect, also while remoted is stopped.
func (m *Manager) AgentAddr() netip.AddrPort { return m.remoted.addr }

// StopRemoted ends remoted, and every agent's connection; its socket's file stays, dead.
func (m *Manager) StopRemoted() { m.remoted.stop() }

// StartRemoted starts it again: first of all it takes every agent for disconnected.
func (m *Manager) StartRemoted() error { return m.remoted.run() }

// StopDB ends wazuh-db's socket and connections.
func (m *Manager) StopDB() { m.wazuhDB.stop() }

// StartDB starts it again.
func (m *Manager) StartDB() error { return m.wazuhDB.run() }

// Exec changes the database behind the daemons' backs, as the daemons of other
// nodes do, or an administrator.
func (m *Manager) Exec(query string, args ...any) error {
	_, err := m.store.db.Exec(query, args...)
	m.bell.ring()
	return err
}

// Agent is an agent's row.
type Agent struct {
	ID                int
	Name, Node        string
	Status, Sync      string // connection_status, sync_status
	Code              int    // status_code
	KeepAlive, Parted int64  // last_keepalive and disconnection_time, Unix seconds; 0: never
}

const agentRow = `SELECT id, name, coalesce(node_name, ''), connection_status, sync_status, coalesce(status_code, 0),
 coalesce(last_keepalive, 0), coalesce(disconnection_time, 0) FROM agent`

// Agent reads one agent's row.
func (m *Manager) Agent(id int) (a Agent, err error) {
	err = m.store.db.QueryRow(m.store.before46(agentRow)+` WHERE id = ?`, id).Scan(&a.ID, &a.Name, &a.Node, &a.Status, &a.Sync, &a.Code, &a.KeepAlive, &a.Parted)
	if err != nil {
		return a, fmt.Errorf("agent %d: %w", id, err)
	}
	return a, nil
}

// Statuses counts the agents by connection_status, without the manager itself.
func (m *Manager) Statuses() (map[string]int, error) {
	rows, err := m.store.db.Query(`SELECT connection_status, count(*) FROM agent WHERE id > 0 GROUP BY 1`)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err tells what went wrong
	all := make(map[string]int)
	for rows.Next() {
		var status string
		var n int
		if err := rows.Scan(&status, &n); err != nil {
			return nil, err
		}
		all[status] = n
	}
	return all, rows.Err()
}

// furnish makes the directories and files that a manager has before it starts.
func (m *Manager) furnish() error {
	if n := len(m.cfg.Home); n > LongestHome {
		return fmt.Errorf("a path of %d bytes, and sockets in it may have %d", n, LongestHome)
	}
	for _, dir := range []struct {
		name string
		mode os.FileMode
	}{{"etc", 0o770}, {"queue", 0o750}, {"queue/sockets", 0o770}, {"queue/alerts", 0o770}, {"queue/db", 0o750}} {
		path := filepath.Join(m.cfg.Home, dir.name)
		if err := os.MkdirAll(path, 0o700); err != nil {
			return err
		}
		if err := chmod(path, dir.mode); err != nil {
			return err
		}
	}
	for name, text := range map[string]string{"etc/ossec.conf": m.ossecConf(), "VERSION.json": m.versionFile()} {
		if err := os.WriteFile(filepath.Join(m.cfg.Home, name), []byte(text), 0o640); err != nil {
			return err
		}
	}
	return nil
}

// chmod gives a directory the mode that a real installation gives it, whatever
// the umask is. One that passes its group on, as the home may, still does.
func chmod(dir string, mode os.FileMode) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	return os.Chmod(dir, mode|info.Mode()&os.ModeSetgid)
}
