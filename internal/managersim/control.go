package managersim

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// controlPort is the port of a manager of 5 for agents of 5, as far as the database shows them:
// they report their start, their life every ten seconds and their end, each in a connection
// of its own, and cannot be asked anything. TLS, signatures, events and all other
// requests are left out; an agent is known by the number that it names.
type controlPort struct {
	daemon
	*Manager
	addr netip.AddrPort // of the port, once it has been open
	hang stall

	mu       sync.Mutex
	throttle time.Duration
	written  map[int64]write // by agent: its last notify that was written, or lost on its way to wazuh-db
}

// write is when a notify was written, and whether there has been one with the host's data.
type write struct {
	at      int64 // Unix seconds
	hasHost bool
}

// startDaemon opens the port. What was written when is forgotten.
func (c *controlPort) startDaemon() error {
	addr := c.cfg.Wazuh5.Listen
	if c.addr.IsValid() {
		addr = c.addr.String()
	}
	port, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	c.addr = port.Addr().(*net.TCPAddr).AddrPort()
	c.forgetWrites()
	c.daemon.markRunning()
	c.acceptConns(port, func(conn net.Conn) { c.goRun(func() { c.serveAgent(conn) }) })
	return nil
}

func (c *controlPort) forgetWrites() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.written, c.throttle = make(map[int64]write), c.cfg.Wazuh5.Throttle
}

// idleTime is how long a connection may be idle.
const idleTime = 10 * time.Second

// maxControl bounds a control message.
const maxControl = 64 << 10

// serveAgent answers one connection, which the agent closes after its one request.
func (c *controlPort) serveAgent(conn net.Conn) {
	defer c.closeAndForget(conn)
	in := bufio.NewReaderSize(conn, 1024)
	for {
		_ = conn.SetReadDeadline(time.Now().Add(idleTime))
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		body, err := io.ReadAll(io.LimitReader(r.Body, maxControl))
		if err != nil {
			return
		}
		c.hang.waitWhileStalled(c.quit)
		code, text := c.answerRequest(r, body)
		c.changes.notifyAll()
		if _, err := fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\nConnection: keep-alive\r\nContent-Length: %d\r\nServer: wazuh-manager-remoted\r\n"+
			"Content-Type: application/json\r\n\r\n%s", code, http.StatusText(code), len(text), text); err != nil {
			return
		}
	}
}

func (c *controlPort) answerRequest(r *http.Request, body []byte) (code int, text string) {
	switch {
	case r.Method == http.MethodGet && r.URL.Path == "/":
		return http.StatusOK, `{}`
	case r.Method != http.MethodPost || r.URL.Path != "/control":
		return http.StatusNotFound, `{"error":"Not Found"}`
	}
	said, is := strings.CutPrefix(r.Header.Get("Authorization"), "Wazuh ")
	agent, _, _ := strings.Cut(said, ":")
	if _, known := c.keys.Load().ByID([]byte(agent)); !is || !known {
		return http.StatusUnauthorized, `{"error":"Unauthorized"}`
	}
	code = c.HandleControl(agent, body)
	return code, `{}`
}

// HandleControl does what remoted does with a control message of an agent of 5, and returns
// the status of its answer. Agents send them to the port; tests with a clock of their own
// have no network.
func (m *Manager) HandleControl(agent string, body []byte) int {
	var message struct {
		Type    string `json:"type"`
		Version string `json:"version"`
		Agent   struct {
			Version string `json:"version"`
		} `json:"agent"`
		Host *struct {
			IP   string `json:"ip"`
			Arch string `json:"architecture"`
			OS   struct {
				Name     string `json:"name"`
				Version  string `json:"version"`
				Type     string `json:"type"`
				Platform string `json:"platform"`
			} `json:"os"`
		} `json:"host"`
	}
	if json.Unmarshal(body, &message) != nil {
		return http.StatusBadRequest
	}
	id := parseID(agent)
	data := map[string]any{"id": id, "sync_status": m.cfg.syncStatus(syncAll)}
	switch message.Type {
	case "startup":
		if message.Version == "" {
			return http.StatusBadRequest
		}
		if m.wazuhDB.lost.Load() {
			return http.StatusInternalServerError
		}
		data["connection_status"], data["status_code"], data["version"] = "pending", 0, message.Version
		m.remoted.updateStore("update-status-code", data)
	case "notify":
		m.counters.notifies.Add(1)
		host := message.Host
		if !m.control.isWriteDue(id, host != nil) {
			return http.StatusOK
		}
		m.counters.notifyRows.Add(1)
		data["connection_status"] = "active"
		if host == nil {
			m.remoted.updateStore("update-keepalive", data)
			break
		}
		data["connection_status"], data["version"], data["agent_ip"] = "active", message.Agent.Version, host.IP
		data["os_name"], data["os_version"], data["os_type"], data["os_platform"] = host.OS.Name, host.OS.Version, host.OS.Type, host.OS.Platform
		data["os_arch"], data["os_major"], data["os_minor"] = host.Arch, "", ""
		m.remoted.updateStore("update-agent-data", data)
	case "shutdown":
		data["connection_status"], data["status_code"] = "disconnected", 3
		m.remoted.updateStore("update-connection-status", data)
	default:
		return http.StatusBadRequest
	}
	return http.StatusOK
}

// isWriteDue reports whether a notify of an agent is to be written, and takes it for
// written. Only the notifies that were written count: neither startups nor what others wrote.
// The first with the host's data is always due.
func (c *controlPort) isWriteDue(id int64, hasHost bool) bool {
	now := c.store.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	was, has := c.written[id]
	if has && now-was.at < int64(c.throttle/time.Second) && (was.hasHost || !hasHost) {
		return false
	}
	c.written[id] = write{now, was.hasHost || hasHost}
	return true
}
