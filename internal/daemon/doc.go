// Package daemon wires one node together: the link to the agents, the detector,
// the recorder that makes messages of its decisions, and the outbox. It is the
// only package that knows all others, and starts and stops them in order.
//
// A [Node] is made by [Open], which opens everything that can fail, and lives
// in [Node.Run]. Data goes one way: link → detector → recorder → outbox. Each
// has a goroutine of its own; between detector and recorder stands the backlog,
// so that a slow disk does not make the detector late.
package daemon
