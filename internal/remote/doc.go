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
// Secrets come from files, which are read at every dial. When one
// of them changes, a session with the new files takes the place of the old one;
// if the new files do not work, the old session stays. No secret is in an error
// or in the log. Why a server could not be used is a [Failure], with one of the
// [Problems] and the way out.
//
// [Open] starts two goroutines, one that owns the dialling and one that watches
// the files; [Remote.Close] ends them and the session with it. All methods may be called
// concurrently. [Dial] makes a single session and starts nothing else.
package remote
