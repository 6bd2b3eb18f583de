package managersim

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wazuh-pulse/pulse/internal/clientkeys"
)

// Manager is a running stock manager. See [Start].
type Manager struct {
	cfg       Config
	store     *store
	faults    faults
	counters  counters
	clientLog clientLog
	changes   changeNotifier
	stall     stall

	keys    atomic.Pointer[clientkeys.Set]
	enrolMu sync.Mutex

	remoted   remoted
	control   controlPort
	wazuhDB   wazuhDB
	analysisd analysisd
	monitord  monitord
}

// Start creates the files of the home and starts all daemons in it.
func Start(cfg Config) (m *Manager, err error) {
	m = &Manager{cfg: cfg.withDefaults()}
	m.remoted.Manager, m.wazuhDB.Manager, m.analysisd.Manager, m.monitord.Manager = m, m, m, m
	m.control.Manager = m
	defer func() {
		if err != nil {
			_ = m.Close()
			err = fmt.Errorf("start a manager in %s: %w", m.cfg.Home, err)
		}
	}()
	if err := m.createHome(); err != nil {
		return m, err
	}
	if m.store, err = openStore(filepath.Join(m.cfg.Home, "queue/db/global.db"), m.cfg.Now, m.cfg.dialect()); err != nil {
		return m, err
	}
	if m.cfg.isWazuh5() {
		m.store.commits.age = int64(m.cfg.Wazuh5.Commit / time.Second)
	}
	if m.wazuhDB.agents, err = openStore(":memory:", m.cfg.Now, wazuh4); err != nil {
		return m, err
	}
	m.enrolMu.Lock()
	err = m.writeKeys(m.cfg.Keys)
	m.enrolMu.Unlock()
	if err != nil {
		return m, err
	}
	for _, run := range []func() error{m.wazuhDB.startDaemon, m.analysisd.startDaemon, m.remoted.startDaemon, m.monitord.startDaemon} {
		if err := run(); err != nil {
			return m, err
		}
	}
	if m.cfg.Wazuh5.Age > 0 {
		return m, m.claimAge()
	}
	return m, nil
}

// Close stops all daemons. The home and its files stay.
func (m *Manager) Close() error {
	m.monitord.stopAndWait()
	m.StopRemoted()
	m.wazuhDB.stopAndWait()
	m.analysisd.stopAndWait()
	var err error
	for _, s := range []*store{m.store, m.wazuhDB.agents} {
		if s != nil {
			err = errors.Join(err, s.db.Close())
		}
	}
	return err
}

// Home returns the manager's directory.
func (m *Manager) Home() string { return m.cfg.Home }

// AgentAddr returns the address for agents to connect to, also while remoted
// is stopped.
func (m *Manager) AgentAddr() netip.AddrPort { return m.remoted.addr }

// StopRemoted stops remoted and every agent's connection. Its socket's file
// stays.
func (m *Manager) StopRemoted() {
	m.control.stopAndWait()
	m.remoted.stopAndWait()
}

// StartRemoted starts remoted again, which first marks all agents as
// disconnected.
func (m *Manager) StartRemoted() error { return m.remoted.startDaemon() }

// StopDB stops wazuh-db's socket and connections.
func (m *Manager) StopDB() { m.wazuhDB.stopAndWait() }

// StartDB starts it again.
func (m *Manager) StartDB() error { return m.wazuhDB.startDaemon() }

// Exec changes the database directly, as the daemons of other nodes or an
// administrator may.
func (m *Manager) Exec(query string, args ...any) error {
	_, err := m.store.db.Exec(query, args...)
	m.changes.notifyAll()
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

// Agent returns an agent's row.
func (m *Manager) Agent(id int) (a Agent, err error) {
	err = m.store.db.QueryRow(m.store.adaptText(agentRow)+` WHERE id = ?`, id).Scan(&a.ID, &a.Name, &a.Node, &a.Status, &a.Sync, &a.Code, &a.KeepAlive, &a.Parted)
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
	defer func() { _ = rows.Close() }() // Err returns the error
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

// createHome creates the directories and files that a manager has before it
// starts.
func (m *Manager) createHome() error {
	if m.cfg.isWazuh5() {
		return m.createHomeOf5()
	}
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

// chmod gives a directory the mode that a real installation has, whatever the
// umask is. A set-group-ID bit stays.
func chmod(dir string, mode os.FileMode) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	return os.Chmod(dir, mode|info.Mode()&os.ModeSetgid)
}
