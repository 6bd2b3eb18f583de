// Package wazuhrules has the rules that make alerts of Pulse's events in a Wazuh
// manager, as the file that the manager reads, and checks whether a manager has them.
//
// The package starts no goroutines and keeps no state.
package wazuhrules
