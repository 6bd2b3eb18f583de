// Package attach is the link on which a stock Wazuh manager of the same host has
// the agents: Pulse reads of them in the manager's database, reaches them through
// the manager's own sockets, and writes back what it finds out.
//
// It is a guest. What it asks of the manager is bounded and paced: one
// connection to wazuh-db, no more requests in remoted's pool than it may have
// (and fewer while remoted is slow), a frame always written whole. What the manager
// says is bounded and checked. It needs no more than the rights of the manager's group.
//
// A [Link] has these parts, each with a goroutine of its own that [Link.Run] waits for:
//
//   - the watch reads agents and their signs of life in wazuh-db, and owns what
//     is known of them;
//   - the asker sends requests to agents, each in a goroutine that lives until
//     remoted answers;
//   - the teller sends keep-alives without an answer, through remoted's AR queue;
//   - the pulse of remoted: whether it is there and answers, and since when;
//   - the door sees the agents' connections close, told by the kernel;
//   - the scribe writes losses into wazuh-db and raises Wazuh's own alert.
//
// All methods of a Link may be called from any goroutine.
package attach
