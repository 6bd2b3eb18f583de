// Package top draws a node's dashboard for a terminal: the fleet in one line,
// who is away, what changed just now, and how the node is. It makes text of what
// the console's API says, and knows neither terminals nor connections.
//
// Names and addresses come from agents: whatever in them could steer a terminal
// is replaced. A [Board] is for one goroutine.
package top
