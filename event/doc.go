// Package event defines the messages that Pulse publishes on NATS: their JSON,
// their subjects and their alert levels. An XDR platform written in Go imports
// it to decode them.
//
// Field names and types are a contract: they are never renamed and never
// retyped. More fields may be added, so a reader ignores those it does not
// know. The JSON Schema of every message is in the module's schema directory.
//
// Everything here is a plain value; nothing starts a goroutine. Only a [Source]
// has state, and it says who may call it.
package event
