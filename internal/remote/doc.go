// Package remote connects to the XDR platform's NATS server: its addresses,
// the login, and one connection that is re-established whenever it ends.
//
// The users of the connection get it as a [Session], which lasts from a
// successful dial to its first failure and never reconnects by itself: what is
// sent on one connection arrives in order or not at all, while a connection
// that is re-established by the client library could have lost a message in
// the middle. A user that finds the session not working ends it; a new one
// follows.
//
// Secrets are in files, which are read at every dial. When one of them
// changes, a session with the new files replaces the old one; if the new files
// do not work, the old session stays. No secret is in an error or in the log.
// Why a server could not be used is a [Failure], with one of the [Problems]
// and a hint.
//
// [Open] starts two goroutines, one that owns the dialling and one that
// watches the files; [Remote.Close] ends them and the session. All methods may
// be called concurrently. [Dial] makes a single session and starts nothing
// else.
package remote
