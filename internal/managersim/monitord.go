package managersim

import (
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"
)

// monitord is wazuh-monitord: it looks for silent agents once in each
// DisconnectionAge.
type monitord struct {
	daemon
	*Manager
}

func (m *monitord) startDaemon() error {
	m.daemon.markRunning()
	m.goRun(func() {
		again := time.NewTicker(m.cfg.DisconnectionAge)
		defer again.Stop()
		for {
			select {
			case <-m.quit:
				return
			case <-again.C:
				if err := m.Sweep(); err != nil {
					m.cfg.Log.Error("monitord cannot sweep", "error", err)
				}
			}
		}
	})
	return nil
}

// Sweep does what monitord does every DisconnectionAge: it marks the agents
// that were silent for longer as disconnected, and raises rule 504 for each
// that was not before. On a worker it raises none, and the master never learns of it. In 5
// there is no such rule.
func (m *Manager) Sweep() error {
	before := m.store.now() - int64(m.cfg.DisconnectionAge/time.Second)
	found, err := m.store.disconnectSilent(fmt.Sprintf("0 %d %s", before, synced))
	if err != nil {
		return err
	}
	var agents []struct{ ID int }
	if err := json.Unmarshal([]byte(strings.TrimLeft(string(found[0]), "okdue ")), &agents); err != nil || len(agents) == 0 || m.cfg.isWorker() || m.cfg.isWazuh5() {
		return err
	}
	queue, err := net.Dial("unixgram", filepath.Join(m.cfg.Home, "queue/sockets/queue"))
	if err != nil {
		return err
	}
	defer func() { _ = queue.Close() }() // nothing waits in it
	for _, a := range agents {
		var name, ip string
		if err := m.store.db.QueryRow(`SELECT name, register_ip FROM agent WHERE id = ?`, a.ID).Scan(&name, &ip); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(queue, "1:[%03d] (%s) %s->wazuh-monitord:ossec: Agent disconnected: '%s-%s'.", a.ID, name, ip, name, ip); err != nil {
			return err
		}
	}
	return nil
}
