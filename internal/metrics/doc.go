// Package metrics counts what a node does, in Prometheus's terms. Names and
// units follow Prometheus's guidelines: base units, _total for what only rises,
// one name for one thing.
//
// The detector's goroutine tells it what was decided; everything else is asked
// for when somebody gathers, from a [Node] that the daemon fills in. It starts no
// goroutine, and all methods may be called concurrently.
package metrics
