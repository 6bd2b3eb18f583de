// Package event defines the messages that Pulse publishes on NATS, their JSON and
// their subjects. An XDR platform written in Go imports it to decode them: [Parse]
// reads a message of any kind.
//
// Field names and types are a contract: they are never renamed and never
// retyped. More fields may be added, so a reader ignores those it does not
// know. The JSON Schema of every message is in the module's schema directory.
//
// All types are plain values, and nothing starts a goroutine.
package event
