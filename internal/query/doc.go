// Package query answers questions about the fleet over NATS: a micro service
// by the name of pulse, with endpoints to list agents, to get one, to ask one
// for a sign of life now, and to hear how the node is doing.
//
// Every endpoint has two subjects, one that all nodes hear (pulse.agents.get)
// and one of this node alone (pulse.NODE.agents.get). There is no queue group:
// each node knows its own agents, so each has to hear what is asked of all. For
// the first answer to be the right one, a node that has nothing good to say
// about an agent waits before it says so.
//
// What a client sends is bounded in every respect: the size of a request, how
// many wait, how many are worked on, how many agents are asked for a sign of
// life. What is too much is refused with an answer, and only a flood beyond all
// that is dropped, and logged.
//
// [Service.Serve] answers on one connection until that ends. It may be called for
// several connections, one after the other or at once; all methods are safe for
// concurrent use.
package query
