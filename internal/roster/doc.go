// Package roster keeps the present state of every agent in a JetStream key-value
// bucket, PULSE_AGENTS, for XDR platforms that come late and would have to
// replay all status changes otherwise. The bucket is on the XDR's NATS, or
// with the embedded server in that one.
//
// It follows the outbox's STATUS stream from a position on disk, which moves only
// when the bucket has acknowledged what was read so far: a crash loses nothing,
// and what is written twice is the same. No value is ever replaced by an older
// one (see [event.AgentState.Supersedes]), whoever else writes: each write names the
// revision that it replaces. A file remembers which bucket it was and what was
// written to it last; if the bucket is another one, or has lost that, the roster
// is written anew from the last message of each agent.
//
// It holds no more of the fleet in memory than one batch of messages. Without
// JetStream or without a bucket, which it makes if it may, it waits for them.
//
// [Open] starts one goroutine, which starts others for a batch at a time;
// [Roster.Close] ends them. All methods may be called concurrently.
package roster
