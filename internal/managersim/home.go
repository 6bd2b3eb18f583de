package managersim

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wazuh-pulse/pulse/internal/clientkeys"
)

// The files of a manager's home.

// LongestHome is how many bytes the path of a home may have: a socket's
// address has room for 107.
const LongestHome = 107 - len("/queue/sockets/request")

// ossecConf returns the settings file, in the form that an installation
// writes.
func (m *Manager) ossecConf() string {
	disabled, c := "no", m.cfg.Cluster
	if c.Node == "" {
		disabled, c = "yes", Cluster{Name: "wazuh", Node: "node01", Type: "master"}
	}
	_, port, _ := strings.Cut(m.cfg.Listen, ":")
	return fmt.Sprintf(`<!--
  Wazuh - Manager
-->

<ossec_config>
  <global>
    <jsonout_output>yes</jsonout_output>
    <agents_disconnection_time>%ds</agents_disconnection_time>
    <agents_disconnection_alert_time>0</agents_disconnection_alert_time>
  </global>

  <remote>
    <connection>secure</connection>
    <port>%s</port>
    <protocol>tcp</protocol>
    <queue_size>131072</queue_size>
  </remote>

  <cluster>
    <name>%s</name>
    <node_name>%s</node_name>
    <node_type>%s</node_type>
    <key></key>
    <port>1516</port>
    <bind_addr>0.0.0.0</bind_addr>
    <nodes>
        <node>NODE_IP</node>
    </nodes>
    <hidden>no</hidden>
    <disabled>%s</disabled>
  </cluster>
</ossec_config>

<ossec_config>
  <localfile>
    <log_format>syslog</log_format>
    <location>/var/ossec/logs/active-responses.log</location>
  </localfile>
</ossec_config>
`, int(m.cfg.DisconnectionAge/time.Second), port, c.Name, c.Node, c.Type, disabled)
}

func (m *Manager) versionFile() string {
	return fmt.Sprintf("{\n    \"version\": \"%s\",\n    \"stage\": \"rc1\"\n}\n", strings.TrimPrefix(m.cfg.Version, "v"))
}

// Enrol registers more agents, in client.keys and in the database.
func (m *Manager) Enrol(keys ...clientkeys.Key) error {
	m.enrolMu.Lock()
	defer m.enrolMu.Unlock()
	return m.writeKeys(append(m.currentKeys(), keys...))
}

// Remove removes an agent from client.keys and the database, as manage_agents
// does.
func (m *Manager) Remove(id string) error {
	m.enrolMu.Lock()
	defer m.enrolMu.Unlock()
	keys := slices.DeleteFunc(m.currentKeys(), func(k clientkeys.Key) bool { return k.ID == id })
	if _, err := m.store.deleteAgent(id); err != nil {
		return err
	}
	if err := m.writeKeys(keys); err != nil {
		return err
	}
	m.remoted.closePeer(id)
	return nil
}

func (m *Manager) currentKeys() (keys []clientkeys.Key) {
	return m.keys.Load().Keys()
}

// writeKeys writes client.keys, and a row for each agent that has none.
func (m *Manager) writeKeys(keys []clientkeys.Key) error {
	var text strings.Builder
	for _, k := range keys {
		fmt.Fprintf(&text, "%s %s %s %s\n", k.ID, k.Name, k.IP, k.Secret)
	}
	path := filepath.Join(m.cfg.Home, "etc/client.keys")
	if err := os.WriteFile(path+".new", []byte(text.String()), 0o640); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	set, _, err := clientkeys.ReadFile(path)
	if err != nil {
		return err
	}
	m.keys.Store(set)
	return m.addRows(keys)
}

func (m *Manager) addRows(keys []clientkeys.Key) error {
	tx, err := m.store.db.Begin()
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // a no-op after Commit
	now := m.store.now()
	const forever = 253402300799 // the manager's own last keep-alive: the end of the year 9999
	if m.cfg.isWazuh5() {
		return addRowsOf5(tx, keys)
	}
	if _, err := tx.Exec(`INSERT OR IGNORE INTO agent (id, name, ip, register_ip, date_add, last_keepalive, connection_status)
 VALUES (0, 'localhost', '127.0.0.1', '127.0.0.1', ?, ?, 'active')`, now, forever); err != nil {
		return err
	}
	for _, k := range keys {
		id, err := strconv.Atoi(k.ID)
		if err != nil {
			return fmt.Errorf("agent %s: %w", k.ID, err)
		}
		if _, err := tx.Exec(`INSERT OR IGNORE INTO agent (id, name, ip, register_ip, internal_key, date_add) VALUES (?1, ?2, ?3, ?3, ?4, ?5)`,
			id, k.Name, k.IP.String(), k.Secret, now); err != nil {
			return fmt.Errorf("agent %s: %w", k.ID, err)
		}
	}
	return tx.Commit()
}
