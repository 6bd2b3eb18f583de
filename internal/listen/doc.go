// Package listen is the link on which Pulse is the agents' manager: it speaks
// Wazuh's secure message protocol on TCP and UDP, tells the detector what it
// sees of agents, and sends them the detector's keep-alives.
//
// It trusts nobody before a message decrypts with an agent's key: whatever does
// not is refused, counted and, on TCP, ends the connection. Connections, the
// bytes of a message in the making, and what a peer does not read are bounded.
//
// A [Link] starts one goroutine for each connection, one that accepts, one that
// reads UDP and repeats requests there, and for a peer that reads slowly one
// that waits for it. [Link.Run] ends after all of them. The registry knows which
// peer speaks for an agent; a peer's state belongs to the goroutine that reads
// from it, except for what its fields say. All methods may be called from any
// goroutine.
package listen
