// Package wazuhsock has what the Unix sockets of a Wazuh manager have in common:
// their paths, the frames of the stream sockets, sending to the datagram sockets, and
// what an error of a socket means.
//
// It starts no goroutines. A [Queue] belongs to one goroutine; all else may be used
// concurrently.
package wazuhsock
