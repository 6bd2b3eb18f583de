// Package remote is the way to the XDR's NATS server: who it is, how we log in,
// and one connection that is made again whenever it ends, forever.
//
// What is done on the connection is the affair of those who use it. They get it
// as a [Session], which lives from a successful dial to its first failure and
// never reconnects by itself: what is sent on one connection arrives in order or
// not at all, while a connection that came back on its own could have lost a
// message in the middle. Who finds that the session does not do what it should
// ends it; a new one follows.
//
// [Open] starts one goroutine, which owns the dialling; [Remote.Close] ends it
// and the session with it. All methods may be called concurrently.
package remote
