// Package demo shows Pulse at work without a Wazuh installation: a real node
// with short timings, simulated agents that speak the real protocol to it over
// loopback, and a NATS client that hears what an XDR platform would hear. Agents
// die in every way an agent can and come back, or all lose their network at once;
// the demo tells what died when, how, and how soon the message about it arrived.
//
// [Run] starts the node, the agents and the client, and ends them all before it
// returns. All judgement is in the one goroutine that calls it.
package demo
