// Package hostprobe finds out whether a host answers: to one ICMP echo request, by an unprivileged datagram socket where
// net.ipv4.ping_group_range allows it, or to one TCP connection to each of a few ports. Nothing else is ever sent: a
// connection that was accepted is closed at once.
//
// Only the very host that was asked can answer. An echo reply counts if it comes from its address and has the
// identifier, the sequence and the 16 random bytes of the request. A TCP answer, also a reset, counts if the kernel has
// matched it to the connection, whose first sequence number is as unforeseeable. ICMP errors are no answers, whoever
// they come from, nor is a connection that the kernel gave up because of one.
//
// A [Prober] starts a goroutine for each probe, and [Prober.Run] waits for them. All its methods may be called
// concurrently.
package hostprobe
