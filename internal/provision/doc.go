// Package provision writes what a stock NATS server needs to carry Pulse's
// messages with no right given to anybody that it does not need: the keys and
// JWTs of an operator and its accounts, credentials for each node, for those who
// read and for who keeps the streams, certificates, the server's configuration,
// and what the streams and buckets are.
//
// The rights stand on accounts, not only on users. Where a client shares an
// account with a stream, the server sends the answer to any request of its to
// whatever subject the client names, in the server's own name: into another
// stream, or as a request to purge one. So the streams have an account
// to themselves, and nodes and readers theirs; they reach the streams through imports,
// which make such an answer come back to where the question came from. For the
// same reason readers use consumers that are made for them: who may make one may
// make one that delivers anywhere.
//
// [New] makes a setup, all of it or nothing. [Open] takes one up again, to change
// it: add, renew and revoke users, renew the server's certificate. [Apply] makes the
// streams and buckets on the running server. What a setup is, is in its file
// provision.json, which changes last, or with a revocation first; files that do
// not fit it are refused. Nothing here starts a goroutine, and a lock keeps two
// changes at a time apart.
package provision
