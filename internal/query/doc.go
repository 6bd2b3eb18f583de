// Package query answers requests about the fleet over NATS: a micro service by
// the name of pulse, with endpoints to list agents, to get one, to ping one,
// and to get the node's status.
//
// Every endpoint has two subjects, one of all nodes (pulse.agents.get) and one
// of this node (pulse.NODE.agents.get). There is no queue group: each node
// knows its own agents only, so each has to receive a request to all. For the
// first answer to be the right one, a node delays an answer that another node
// may have a better one for.
//
// Requests are bounded: in size, in how many wait, in how many are handled at
// once, and in how many agents are pinged. Requests beyond that are refused
// with an answer; only a flood beyond all limits is dropped, and logged.
//
// [Service.Serve] answers requests on one connection until that ends. It may
// be called for several connections, one after the other or at once; all
// methods are safe for concurrent use.
package query
