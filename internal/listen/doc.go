// Package listen is the link on which Pulse is the agents' manager: it implements
// Wazuh's secure message protocol on TCP and UDP, reports to the detector what it
// receives from agents, and sends them the detector's keep-alives.
//
// A peer is unauthenticated until one of its messages decrypts with an agent's key.
// Anything else is refused, counted and, on TCP, ends the connection. The number of
// connections, the size of a partial message, and the output that a peer does not read
// are bounded.
//
// A message whose counter is not higher than all before of its agent may be a
// replay: it proves nothing until its sender has answered a question with an
// unpredictable number. A [history] of some 70 bytes is kept for each agent, also while
// it is not connected. A connection that waits for such an answer is a claim: its
// messages are read, but neither reported nor allowed to end another connection.
// Connections that have not authenticated are strangers, the first to be closed when the
// limit of connections comes near. A panic while one peer is served ends only that
// peer's connection.
//
// A [Link] starts one goroutine per processor that reads TCP connections (a
// poller), one that accepts them, one that ends those past their deadline, one that
// reads UDP and one that repeats requests there, and one for each connection that waits
// for its agent's other one to end. [Link.Run] ends after all of them. The registry
// holds the peer of each agent. A connection belongs to its poller's goroutine and a
// peer's state to the goroutine that reads from it, except where their fields document
// otherwise. All methods are safe for concurrent use. The package is for Linux.
package listen
