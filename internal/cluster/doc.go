// Package cluster keeps the shared view of a cluster's nodes: each node writes to the
// JetStream bucket PULSE_CLUSTER which agents it has and that it lives, and reads what the
// others write. What follows from that is decided in package ownership.
//
// Every value is signed. Up to 64 records that are stored at a time have one signature: each
// has the path from its hash to the root of a tree, and the root is signed. A value that is
// not signed, not by a public key that its node has in the bucket PULSE_KEYS, or not for its
// key is refused and counted, and logged at most once a minute.
//
// The bucket is read as a stream, from a position, in one order for all nodes. A node that
// has stored records publishes up to which order on pulse.NODE.cluster, and the others then
// read up to it: nobody needs the right to make a consumer, and when nothing happens there is
// no traffic but the nodes' beats.
//
// A [View] has a connection of its own, so that nothing waits behind telemetry. [Open] starts
// two goroutines, which start two more for each session; [View.Close] ends them. All methods
// may be called concurrently, and none of them waits for the network.
package cluster
