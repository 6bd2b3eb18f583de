// Package bench measures Pulse under load, without a network.
//
// [Detector] runs a real detector in real time, with the daemon's default
// settings and as many agents as asked for. What plays the agents runs in the same process
// and counts in its figures, so it is made to cost little: one goroutine reports
// the agents' own keep-alives, one their answers.
package bench
