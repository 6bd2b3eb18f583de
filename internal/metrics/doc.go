// Package metrics exports a node's counters to Prometheus. Names and units
// follow Prometheus's guidelines: base units, _total for counters, one name for
// one thing.
//
// Decisions are counted when the detector's goroutine reports them; everything
// else is read from a [Node] for each gathering. The package starts no
// goroutines, and all methods may be called concurrently.
package metrics
