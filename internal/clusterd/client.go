// Package clusterd is a client of the socket that wazuh-clusterd has for programs of its
// host. Through it a worker reads the master's table of agents, as stock daemons do, and the
// nodes that are connected to the master.
//
// The master's clusterd answers one such request after the other, and does nothing else
// meanwhile: callers ask for little, and seldom. Each request has a connection of its own.
//
// The package starts no goroutines. A [Client] may be used concurrently.
package clusterd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/printable"
	"github.com/wazuh-pulse/pulse/internal/wazuhsock"
)

const (
	// MaxIDs is how many agents one request may be about: their rows fit into one frame of
	// wazuh-db, and only the first one of an answer comes through.
	MaxIDs = 50
	// maxNodeName is how many bytes a node's name may have.
	maxNodeName = 128
	// maxErrorText is how many characters of an error are kept of what clusterd sent.
	maxErrorText = 200
	// maxFrames is how many frames a request is answered with at most: some commands are
	// acknowledged first.
	maxFrames = 4
)

// The names of wazuh-db for clusterd.
const databaseName, databaseName5 = "wazuh-db", "wazuh-manager-db"

// Client sends requests to the clusterd of this host.
type Client struct {
	timeout time.Duration
	path    string
	daemon  string // wazuh-db's name
	counter atomic.Uint32

	requests atomic.Int64
}

// NewClient returns a client of the manager in a directory. Timeout is that for an answer.
func NewClient(home wazuhsock.Home, timeout time.Duration) *Client {
	c := &Client{timeout: timeout, path: home.Path(wazuhsock.ClusterSocket), daemon: databaseName}
	if home.IsWazuh5() {
		c.daemon = databaseName5
	}
	return c
}

// SocketPath returns where the socket is.
func (c *Client) SocketPath() string { return c.path }

// CountRequests returns how many requests were sent.
func (c *Client) CountRequests() int64 { return c.requests.Load() }

// RefusedError is an answer that is an error, of clusterd or of wazuh-db. A worker that has no
// connection to its master answers so.
type RefusedError string

func (e RefusedError) Error() string { return "wazuh-clusterd refuses: " + string(e) }

// Location is where the master's table has an agent.
type Location struct {
	Agent     detector.AgentID
	Node      string // that sent all of the agent's row last
	Status    string
	KeepAlive int64 // Unix seconds: of an agent of a worker, the time at which the master took it over
}

// IsConnected reports whether the agent is connected to a node by that table, or has just
// started there.
func (l *Location) IsConnected() bool { return l.Status == "active" || l.Status == "pending" }

// ReadLocations returns where some agents are, MaxIDs at most, by the master's table. An agent
// that it does not have is left out.
func (c *Client) ReadLocations(ctx context.Context, ids []detector.AgentID) ([]Location, error) {
	if len(ids) == 0 || len(ids) > MaxIDs {
		return nil, fmt.Errorf("ask wazuh-clusterd for %d agents: 1 to %d are possible", len(ids), MaxIDs)
	}
	list := make([]string, len(ids))
	for i, id := range ids {
		list[i] = fmt.Sprint(uint32(id))
	}
	request, err := json.Marshal(map[string]string{"daemon_name": c.daemon, "message": "global sql SELECT id AS i, " +
		"CAST(substr(CAST(coalesce(node_name, '') AS BLOB), 1, 129) AS TEXT) AS n, CAST(substr(CAST(connection_status AS BLOB), 1, 33) AS TEXT) AS s, " +
		"max(min(CAST(last_keepalive AS INTEGER), 281474976710656), 0) AS k FROM agent WHERE id IN (" + strings.Join(list, ",") + ")"})
	if err != nil {
		return nil, err
	}
	answer, err := c.sendRequest(ctx, "sendsync", request, isDatabaseAnswer)
	if err != nil {
		return nil, err
	}
	return parseLocations(answer)
}

// isDatabaseAnswer reports whether a frame has an answer of wazuh-db.
func isDatabaseAnswer(f *frame) bool {
	word, _, found := strings.Cut(string(f.payload), " ")
	return found && (word == "ok" || word == "due" || word == "err")
}

// parseLocations parses an answer of wazuh-db.
func parseLocations(answer []byte) ([]Location, error) {
	word, body, _ := strings.Cut(strings.ToValidUTF8(string(answer), "\uFFFD"), " ")
	if word == "err" {
		return nil, RefusedError(printable.Brief(body, maxErrorText))
	}
	var rows []struct {
		ID        int64  `json:"i"`
		Node      string `json:"n"`
		Status    string `json:"s"`
		KeepAlive int64  `json:"k"`
	}
	if err := json.Unmarshal([]byte(body), &rows); err != nil {
		return nil, fmt.Errorf("wazuh-clusterd answers what is no list of rows: %w", err)
	}
	list := make([]Location, 0, len(rows))
	for _, r := range rows {
		if r.ID < 1 || r.ID > int64(detector.MaxAgentID) || len(r.Node) > maxNodeName || !printable.Is(r.Node) || !printable.Is(r.Status) {
			continue // it shows nothing
		}
		list = append(list, Location{detector.AgentID(r.ID), r.Node, r.Status, r.KeepAlive})
	}
	return list, nil
}

// NodeActivity is what the master's table shows of a node.
type NodeActivity struct {
	Agents  int           // that are active
	Silence time.Duration // since the node has sent the latest keep-alive, by the master's clock
}

// ReadNodeActivity returns what the master's table shows of a node.
func (c *Client) ReadNodeActivity(ctx context.Context, node string) (a NodeActivity, err error) {
	name := strings.NewReplacer("'", "''", ";", "").Replace(node)
	request, err := json.Marshal(map[string]string{"daemon_name": c.daemon, "message": "global sql SELECT count(*) AS n, " +
		"coalesce(max(max(min(CAST(last_keepalive AS INTEGER), 281474976710656), 0)), 0) AS k, CAST(strftime('%s', 'now') AS INTEGER) AS t FROM agent " +
		"WHERE id > 0 AND connection_status IN ('active', 'pending') AND node_name = '" + name + "'"})
	if err != nil {
		return a, err
	}
	answer, err := c.sendRequest(ctx, "sendsync", request, isDatabaseAnswer)
	if err != nil {
		return a, err
	}
	return parseActivity(answer)
}

func parseActivity(answer []byte) (a NodeActivity, err error) {
	word, body, _ := strings.Cut(strings.ToValidUTF8(string(answer), "\uFFFD"), " ")
	if word == "err" {
		return a, RefusedError(printable.Brief(body, maxErrorText))
	}
	var rows []struct {
		Agents    int   `json:"n"`
		KeepAlive int64 `json:"k"`
		Now       int64 `json:"t"`
	}
	if err := json.Unmarshal([]byte(body), &rows); err != nil || len(rows) != 1 {
		return a, fmt.Errorf("wazuh-clusterd answers what is no row: %.60q", body)
	}
	const most = 1 << 31 // seconds
	return NodeActivity{rows[0].Agents, time.Duration(min(max(rows[0].Now-rows[0].KeepAlive, 0), most)) * time.Second}, nil
}

// Node is a node of the cluster, which is connected to the master.
type Node struct {
	Name, Type, Version string
}

// ReadNodes returns the nodes that are connected to the master, and the master itself.
func (c *Client) ReadNodes(ctx context.Context) ([]Node, error) {
	answer, err := c.sendRequest(ctx, "get_nodes", []byte(`{"filter_node": null, "offset": 0, "limit": 500, "sort": null, "search": null, "select": null, "filter_type": "all", "distinct": false}`),
		func(f *frame) bool { return f.command == "control_res" })
	if err != nil {
		return nil, err
	}
	return parseNodes(answer)
}

func parseNodes(answer []byte) ([]Node, error) {
	var body struct {
		Items []Node `json:"items"`
	}
	if err := json.Unmarshal(answer, &body); err != nil {
		return nil, fmt.Errorf("wazuh-clusterd answers what is no list of nodes: %w", err)
	}
	list := make([]Node, 0, len(body.Items))
	for _, n := range body.Items {
		if n.Name == "" || len(n.Name) > maxNodeName || !printable.Is(n.Name) || !printable.Is(n.Type) {
			continue
		}
		list = append(list, Node{n.Name, n.Type, printable.Brief(n.Version, 40)})
	}
	return list, nil
}

// sendRequest sends one request, and returns the payload of the frame that answers it.
func (c *Client) sendRequest(ctx context.Context, command string, payload []byte, isAnswer func(*frame) bool) ([]byte, error) {
	c.requests.Add(1)
	answer, err := c.exchange(ctx, command, payload, isAnswer)
	if _, refused := errors.AsType[RefusedError](err); err == nil || refused {
		return answer, err
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, wazuhsock.ExplainError(err, "wazuh-clusterd", c.path)
}

func (c *Client) exchange(ctx context.Context, command string, payload []byte, isAnswer func(*frame) bool) ([]byte, error) {
	dialer := net.Dialer{Timeout: c.timeout}
	conn, err := dialer.DialContext(ctx, "unix", c.path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // what came is what counts
	_ = conn.SetDeadline(time.Now().Add(c.timeout))
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	counter := c.counter.Add(1)
	if _, err := conn.Write(appendFrame(nil, counter, command, payload)); err != nil {
		return nil, err
	}
	for range maxFrames {
		f, err := readFrame(conn)
		switch {
		case err != nil:
			return nil, err
		case f.command == "err":
			return nil, RefusedError(printable.Brief(string(f.payload), maxErrorText))
		case isAnswer(&f):
			if f.command != "ok" { // it is a request of clusterd's, which waits for an answer
				_, _ = conn.Write(appendFrame(nil, f.counter, "ok", []byte("Response received")))
			}
			return f.payload, nil
		}
	}
	return nil, fmt.Errorf("%d frames, and none of them is an answer", maxFrames)
}
