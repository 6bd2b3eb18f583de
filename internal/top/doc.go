// Package top renders a node's state as text for a terminal: the fleet in one
// line, the disconnected agents, the latest events, and the node itself. Its
// input is what the console's API returns; it knows neither terminals nor
// connections.
//
// Names and addresses come from agents: characters in them that could control
// a terminal are replaced. A [Board] must not be used by several goroutines at
// once.
package top
