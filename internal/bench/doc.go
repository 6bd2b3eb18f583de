// Package bench measures Pulse under load, on this machine alone.
//
// [MeasureDetector] runs a detector in real time, with the daemon's default
// settings and as many agents as asked for. The simulated agents run in the
// same process and count in its figures, so they are cheap: one goroutine
// reports their own keep-alives, another one their answers.
//
// [MeasurePublish] runs all that a node has behind its detector, from
// decisions to messages that a NATS server has confirmed. The server is a
// process of its own, or the user's.
//
// [RunSoak] runs a node for hours, while agents, networks and the NATS server fail.
//
// [MeasureListen] runs a node as the agents' manager, and before that the least that a
// manager can be, with the standard library alone. Each manager, and the agents, are
// processes of their own. [MeasureAll] runs most of the others.
//
// [MeasureAttach] runs a node beside a simulated manager. Manager, agents and
// another client of the manager are processes of their own.
package bench
