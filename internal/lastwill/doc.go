// Package lastwill has a node's loss announced by the platform's NATS server when there
// is no other node to do it.
//
// A node stores its last will, a message that says that it is lost, as a scheduled
// message in a stream of its own (see [StreamConfig]; NATS 2.12), and renews it with
// each heartbeat. When the node has not renewed it for [Delay], the server stores the
// message under [LostSubject]. From there the stream of status changes and alerts takes
// it, and who receives live messages gets it. By each renewal the node finds out whether
// that has happened: it names the last loss that it knows of, and the server refuses the
// renewal if there is a later one.
//
// The delay is counted by the server's clock alone. A will that was not renewed is removed
// soon after the delay: so a server that was away for longer, to which nobody could renew
// anything, announces no loss when it is back. (It then also forgets a loss that it has
// announced: a node that returns after that does not find it.)
//
// [Keeper.Serve] works in its caller's goroutine; no others are started. The other methods of a
// [Keeper] may be called concurrently, and do not wait.
package lastwill
