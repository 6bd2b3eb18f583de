package managersim

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// clusterSocket is queue/cluster/c-internal.sock of one node: wazuh-clusterd's socket for
// programs of the host. Of its commands it has `sendsync` to wazuh-db, which stock daemons
// use (wazuh-cluster.md, C.6), and `get_nodes`.
type clusterSocket struct {
	daemon
	fleet *Fleet
	node  *fleetNode
}

// A frame is a counter, the payload's length, both of 4 bytes in network order, the command
// in 12 bytes ("sendsync ---") and the payload.
const (
	clusterHeader  = 20
	clusterCommand = 12
)

func (c *clusterSocket) startDaemon() error {
	dir := filepath.Join(c.node.Home(), "queue/cluster")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	l, err := listenStream(filepath.Join(dir, "c-internal.sock"), c.node.cfg.Backlog)
	if err != nil {
		return err
	}
	c.daemon.markRunning()
	c.acceptConns(l, func(conn net.Conn) { c.goRun(func() { c.serveClient(conn) }) })
	return nil
}

func (c *clusterSocket) serveClient(conn net.Conn) {
	defer c.closeAndForget(conn)
	for {
		counter, command, payload, err := readClusterFrame(conn)
		if err != nil {
			return
		}
		if command == "get_nodes" {
			if c.answerNodes(conn, counter) != nil {
				return
			}
			continue
		}
		answer, err := c.answerCommand(command, payload)
		verb := "ok"
		if err != nil {
			verb, answer = "err", []byte(err.Error())
		}
		if _, err := conn.Write(appendClusterFrame(nil, counter, verb, answer)); err != nil {
			return
		}
	}
}

func (c *clusterSocket) answerCommand(command string, payload []byte) ([]byte, error) {
	if command != "sendsync" {
		return nil, dbError(fmt.Sprintf("command %q is not simulated", command))
	}
	var request struct {
		Daemon  string `json:"daemon_name"`
		Message string `json:"message"`
	}
	if err := json.Unmarshal(payload, &request); err != nil {
		return nil, err
	}
	if request.Daemon != "wazuh-db" {
		return nil, dbError(fmt.Sprintf("the socket of %q is not simulated", request.Daemon))
	}
	if c.node != c.fleet.nodes[0] && !c.fleet.isLinked(c.node) {
		return nil, dbError("Error 3023 - Worker node is not connected to master")
	}
	master := c.fleet.nodes[0]
	a := master.wazuhDB.answerRequest(request.Message)
	master.changes.notifyAll()
	return a[0], nil // only the first frame comes through
}

// answerNodes acknowledges the question for the nodes, and then asks the client to take the
// answer of the master, which it acknowledges.
func (c *clusterSocket) answerNodes(conn net.Conn, counter uint32) error {
	if c.node != c.fleet.nodes[0] && !c.fleet.isLinked(c.node) {
		_, err := conn.Write(appendClusterFrame(nil, counter, "err", []byte("Error 3023 - Worker node is not connected to master")))
		return err
	}
	type item struct {
		Name    string `json:"name"`
		Type    string `json:"type"`
		Version string `json:"version"`
		IP      string `json:"ip"`
	}
	var items []item
	for i, n := range c.fleet.nodes {
		if i == 0 {
			items = append(items, item{n.name, "master", strings.TrimPrefix(n.cfg.Version, "v"), "127.0.0.1"})
		} else if c.fleet.isLinked(n) {
			items = append(items, item{n.name, "worker", strings.TrimPrefix(n.cfg.Version, "v"), "127.0.0.1"})
		}
	}
	answer, err := json.Marshal(map[string]any{"items": items, "totalItems": len(items)})
	if err != nil {
		return err
	}
	out := appendClusterFrame(nil, counter, "ok", []byte("Sent request to master node"))
	if _, err := conn.Write(appendClusterFrame(out, counter+1, "control_res", answer)); err != nil {
		return err
	}
	_, _, _, err = readClusterFrame(conn)
	return err
}

func readClusterFrame(r io.Reader) (counter uint32, command string, payload []byte, err error) {
	var head [clusterHeader]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, "", nil, err
	}
	counter = binary.BigEndian.Uint32(head[:])
	size := binary.BigEndian.Uint32(head[4:])
	if size > maxFrame {
		return 0, "", nil, fmt.Errorf("%w: %d", errLength, size)
	}
	command, _, _ = strings.Cut(string(head[8:]), " ")
	payload = make([]byte, size)
	_, err = io.ReadFull(r, payload)
	return counter, command, payload, err
}

func appendClusterFrame(b []byte, counter uint32, command string, payload []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, counter)
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	b = append(b, command+" "+strings.Repeat("-", clusterCommand-len(command)-1)...)
	return append(b, payload...)
}
