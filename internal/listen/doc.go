// Package listen is the link on which Pulse is the agents' manager: it speaks
// Wazuh's secure message protocol on TCP and UDP, tells the detector what it
// sees of agents, and sends them the detector's keep-alives.
//
// It trusts nobody before a message decrypts with an agent's key: whatever does
// not is refused, counted and, on TCP, ends the connection. Connections, the
// bytes of a message in the making, and what a peer does not read are bounded.
//
// A message whose counter is not higher than all before of its agent may be a
// recorded one: it proves nothing until its sender has answered a question that could not be
// foreseen. A [history] of some 70 bytes is kept for each agent, also while it is away, and
// a connection that waits for such an answer is a claim: its messages are read, and
// neither reported nor allowed to end another connection. Connections that have proven no
// agent are strangers, the first to go when connections get scarce. A panic while one
// peer is served ends that peer's connection.
//
// A [Link] starts one goroutine for each processor that hears TCP connections (a
// poller), one that accepts them, one that ends those that are late, one that reads UDP
// and one that repeats requests there, and one for each connection that waits for its
// agent's other one to end. [Link.Run] ends after all of them. The registry knows which
// peer speaks for an agent; a connection belongs to its poller's goroutine and a peer's
// state to whoever reads from it, except for what their fields say. All methods may be
// called from any goroutine. It is for Linux.
package listen
