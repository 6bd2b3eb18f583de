// Package presence detects other nodes with this node's name, and keeps all but one of
// them from publishing.
//
// Every node of a name publishes a [Statement] on pulse.NODE.presence at the XDR's NATS
// server, when it connects, every few seconds, and at once when it receives one of a node
// that it does not know. It publishes nothing else before it has asked for others: a
// consumer that has seen one message of a later epoch refuses all of the earlier one.
//
// Of two nodes of a name, the one that publishes already goes on; of two that both do, or
// both do not, the one with the lower epoch, which is the older, and at last the one with
// the lower instance. The other waits until it has had no statement of the first for a
// while, or one that says that it is leaving.
//
// Statements are not verified, since another node of the name may have other keys:
// whoever may publish on a node's own presence subject can keep it from publishing.
//
// [Watcher.Admit] starts one goroutine for each session, which ends with it. All methods
// of a [Watcher] may be called concurrently.
package presence
