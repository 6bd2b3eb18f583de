// Package detector is the failure detector: it decides which agents live.
//
// It knows time and agents and nothing else: no I/O, no NATS, no Wazuh. A link
// tells it what was seen of an agent (a [Sighting]), and it answers with
// [Decision]s: keep-alives to send, what became of them, and status changes.
//
// A [Table] is the deterministic heart. It holds every agent in columns indexed
// by slot and does nothing by itself: the same calls with the same times give
// the same decisions. It is not safe for concurrent use.
//
// A [Detector] owns one Table. Its Run is the only goroutine that touches the
// table: links hand it sightings through [Detector.Report], which any goroutine
// may call, and readers get copies through [Detector.Page].
package detector
