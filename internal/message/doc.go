// Package message turns the detector's decisions into messages, and stored messages
// back into what a starting node restores.
//
// A [Writer] numbers the messages of one run of a node; it is for one goroutine. A
// [Reader] reads the STATUS stream of the outbox. The package starts no goroutines.
package message
