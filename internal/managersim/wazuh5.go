package managersim

import (
	"cmp"
	"database/sql"
	_ "embed"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/wazuh-pulse/pulse/internal/clientkeys"
)

// A manager of Wazuh 5, from recordings of 5.0.0 beta 5: its home, and what is its own of
// the settings. Its agents of 4 are served as ever, on the port that is called legacy there;
// for those of 5 see controlPort.

// Wazuh5 configures what only a manager of Wazuh 5 has. The zero values mean what such a
// manager has as shipped.
type Wazuh5 struct {
	Listen   string        // for agents of 5, host:port: "127.0.0.1:0"
	Throttle time.Duration // between two keep-alives of an agent of 5 that are written (remoted.control_keepalive_throttle), in whole seconds: 60 s
	Commit   time.Duration // between two commits of wazuh-db, in whole seconds: 60 s. KillDB loses what came after the last
	Age      time.Duration // for how long the manager claims to run: its sockets' and its options' times are as much older when it starts
	NoLegacy bool          // there is no port for agents of 4
	NoHTTP   bool          // there is no wdb-http.sock
}

// firstIDOf5 is the least number that authd gives an agent.
const firstIDOf5 = 1024

// defaultThrottle is the throttle of a manager without options of its own.
const defaultThrottle = time.Minute

func (c Config) withDefaultsOf5() Config {
	w := &c.Wazuh5
	w.Listen = cmp.Or(w.Listen, "127.0.0.1:0")
	w.Throttle = cmp.Or(w.Throttle, defaultThrottle)
	w.Commit = cmp.Or(w.Commit, time.Minute)
	c.Cluster.Node = cmp.Or(c.Cluster.Node, "node01") // each is a node
	return c
}

// isWazuh5 reports whether the manager is one of 5.
func (c *Config) isWazuh5() bool { return c.Version != "" && !c.isBefore(5, 0) }

// dialect returns the version of the tables and commands of wazuh-db.
func (c *Config) dialect() dialect {
	switch {
	case c.isWazuh5():
		return wazuh5
	case c.isBefore(4, 6):
		return before46
	}
	return wazuh4
}

// IDOf5 returns the number that authd of 5 gives the n-th agent, from 1 on.
func IDOf5(n int) string { return strconv.Itoa(firstIDOf5 + n - 1) }

//go:embed schema5.sql
var schemaOf5 string

// createHomeOf5 creates the directories and files that a manager of 5 has before it starts.
func (m *Manager) createHomeOf5() error {
	if n, longest := len(m.cfg.Home), 107-len("/queue/sockets/wdb-http.sock"); n > longest {
		return fmt.Errorf("a path of %d bytes, and sockets in it may have %d", n, longest)
	}
	for _, dir := range []struct {
		name string
		mode os.FileMode
	}{{"etc", 0o770}, {"queue", 0o770}, {"queue/sockets", 0o770}, {"queue/db", 0o750}, {"queue/cluster", 0o770}, {"logs", 0o770}} {
		path := filepath.Join(m.cfg.Home, dir.name)
		if err := os.MkdirAll(path, 0o700); err != nil {
			return err
		}
		if err := os.Chmod(path, dir.mode); err != nil {
			return err
		}
	}
	if err := m.writeFile("etc/wazuh-manager.conf", m.managerConf()); err != nil {
		return err
	}
	return m.writeOptions()
}

// writeFile writes a file of the home, as the manager's group may read it.
func (m *Manager) writeFile(name, text string) error {
	path := filepath.Join(m.cfg.Home, name)
	if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
		return err
	}
	return os.Chmod(path, 0o640)
}

// managerConf returns the settings file, with the blocks that Pulse and the daemons here know.
func (m *Manager) managerConf() string {
	legacy, c := "yes", m.cfg.Cluster
	if m.cfg.Wazuh5.NoLegacy {
		legacy = "no"
	}
	return fmt.Sprintf(`<!--
  Wazuh - Manager
-->

<wazuh_config>
  <global>
    <agents_disconnection_time>%ds</agents_disconnection_time>
    <agents_disconnection_alert_time>0</agents_disconnection_alert_time>
  </global>

  <remote>
    <legacy>
      <enabled>%s</enabled>
      <connection>secure</connection>
      <port>1514</port>
      <protocol>tcp</protocol>
      <local_ip>127.0.0.1</local_ip>
    </legacy>
  </remote>

  <cluster>
    <name>%s</name>
    <node_name>%s</node_name>
    <node_type>%s</node_type>
    <key></key>
    <port>1516</port>
    <bind_addr>127.0.0.1</bind_addr>
    <nodes>
        <node>127.0.0.1</node>
    </nodes>
    <hidden>no</hidden>
  </cluster>
</wazuh_config>
`, int(m.cfg.DisconnectionAge/time.Second), legacy, c.Name, c.Node, c.Type)
}

// writeOptions writes the manager's own options; a throttle as shipped is not among them.
func (m *Manager) writeOptions() error {
	text := "# The manager's own options.\n"
	if t := m.cfg.Wazuh5.Throttle; t != defaultThrottle {
		text += fmt.Sprintf("remoted.control_keepalive_throttle=%d\n", t/time.Second)
	}
	return m.writeFile("etc/wazuh-manager-internal-options.conf", text)
}

// addRowsOf5 adds a row for each agent that has none. There is none for the manager.
func addRowsOf5(tx *sql.Tx, keys []clientkeys.Key) error {
	for _, k := range keys {
		id, err := strconv.Atoi(k.ID)
		if err != nil {
			return fmt.Errorf("agent %s: %w", k.ID, err)
		}
		if _, err := tx.Exec(`INSERT OR IGNORE INTO agent (id, name, register_ip, internal_key, "group", date_add) VALUES (?, ?, ?, ?, NULL, 0)`,
			id, k.Name, k.IP.String(), k.Secret); err != nil {
			return fmt.Errorf("agent %s: %w", k.ID, err)
		}
	}
	return tx.Commit()
}

// ControlAddr returns the address for agents of 5 to connect to, also while remoted is
// stopped.
func (m *Manager) ControlAddr() netip.AddrPort { return m.control.addr }

// claimAge makes the times of what shows how long the manager has been running older.
func (m *Manager) claimAge() error {
	at := time.Now().Add(-m.cfg.Wazuh5.Age)
	for _, name := range []string{"etc/wazuh-manager-internal-options.conf", "queue/sockets/remote", "queue/db/wdb"} {
		if err := os.Chtimes(filepath.Join(m.cfg.Home, name), at, at); err != nil {
			return err
		}
	}
	return nil
}

// SetThrottle writes another throttle to the manager's options. remoted takes it when it
// starts.
func (m *Manager) SetThrottle(t time.Duration) error {
	m.cfg.Wazuh5.Throttle = t
	return m.writeOptions()
}

// SetLegacy changes whether there is a port for agents of 4. It may be called while remoted
// is stopped.
func (m *Manager) SetLegacy(on bool) error {
	m.cfg.Wazuh5.NoLegacy = !on
	return m.writeFile("etc/wazuh-manager.conf", m.managerConf())
}

// HangRemoted stops remoted as a SIGSTOP does: agents of 4 and 5 wait for its answers, and so
// do its clients. ResumeRemoted ends it.
func (m *Manager) HangRemoted() { m.control.hang.begin() }

// ResumeRemoted resumes remoted.
func (m *Manager) ResumeRemoted() { m.control.hang.end() }

// KillDB ends wazuh-db as a kill -9 does: what was not committed is lost, and what remoted
// writes until StartDB.
func (m *Manager) KillDB() error {
	m.wazuhDB.lost.Store(true)
	m.wazuhDB.stopAndWait()
	err := m.store.rollBack()
	m.changes.notifyAll()
	return err
}
