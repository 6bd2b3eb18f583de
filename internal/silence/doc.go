// Package silence defines silences: for which agents and when alerts are held back. It
// parses and checks them, computes when they begin and end, and finds for an agent
// whether one selects it, among many ([Index]).
//
// The package does no I/O and reads no clock: the same silences at the same time give the
// same answers. It starts no goroutines. Its values may be read concurrently.
package silence
