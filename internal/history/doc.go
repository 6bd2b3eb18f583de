// Package history keeps, in bounded memory, the last events of the whole fleet
// and the last round trips of each agent, for the console. The messages on
// NATS are the record.
//
// The detector's goroutine adds decisions and never waits for a reader: each
// reader has a position among the events instead of a queue, and one that
// falls behind learns how many events are gone. All methods may be called
// concurrently. The package starts no goroutines.
package history
