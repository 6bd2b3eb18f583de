// Package demo shows Pulse without a Wazuh installation: a node with short
// timings, simulated agents that connect to it over loopback with the real
// protocol, and a NATS client that receives what an XDR platform would
// receive. Agents fail in every way an agent can and recover, or all lose
// their network at once; the demo prints which agent failed when and how, and
// how soon the message about it arrived.
//
// [Run] starts the node, the agents and the client, and stops them all before
// it returns. Only the goroutine that calls it evaluates messages.
package demo
