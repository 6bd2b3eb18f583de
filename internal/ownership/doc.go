// Package ownership decides which node of a cluster has an agent, and which nodes are
// lost, from the records that the nodes write to one stream.
//
// Each node writes records about itself only: a [Claim] for each of its agents, which says
// that the agent is here or has left, a [Beat] every few seconds, and a [Verdict] when it
// finds another node silent. The stream gives each record its order. No decision depends
// on a clock: a claim states after which order of the stream the agent's last sign of life
// was seen, and of two claims the one with the later sign of life is valid, then the one
// that was stored later. A node that was cut off and claims an agent because it had it
// before does not take it from the node that has it now.
//
// A node is lost when this node has stored [SilentBeats] beats of its own since the last
// beat of that node. The stream orders the verdicts of the living, and the author of the
// first one announces the loss.
//
// A [State] is a function of the records and does no I/O. One goroutine at a time may use it.
package ownership
