// Package relay carries TCP connections between simulated agents, nodes and NATS servers, and
// has them fail as networks do: for the demo and for tests.
//
// A [Balancer] is before the nodes of a cluster. It reads an agent's ID from the beginning of
// a connection's first message, so that it can give each agent to a node. A [Path] leads to a
// server, and can be cut, and be slow.
//
// Each has a goroutine, and two more for each connection, which Close ends. All methods may
// be called concurrently.
package relay
