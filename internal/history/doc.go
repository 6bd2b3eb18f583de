// Package history remembers, in bounded memory, what was decided about the
// agents lately: the last changes of the whole fleet, and of each agent its
// last round trips. It is what the console shows; the messages on NATS are the
// record.
//
// The detector's goroutine tells it, and never waits: whoever reads has a
// position among the events instead of a queue, and one that falls behind finds
// that events are gone. All methods may be called concurrently. It starts no goroutine.
package history
