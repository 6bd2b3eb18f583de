// Package bench measures Pulse under load, on this machine alone.
//
// [Detector] runs a real detector in real time, with the daemon's default
// settings and as many agents as asked for. What plays the agents runs in the same process
// and counts in its figures, so it is made to cost little: one goroutine reports
// the agents' own keep-alives, one their answers.//
// [Publish] runs a node's real way out, from decisions like the detector's to
// messages that a NATS server has confirmed. That server is a process of its own,
// or the user's.
package bench
