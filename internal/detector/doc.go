// Package detector is the failure detector: it decides which agents are active.
//
// It depends on time and on agents only: no I/O, no NATS, no Wazuh. A link reports
// what it has received from an agent (a [Sighting]), and the detector returns
// [Decision]s: keep-alives to send, their outcome, and status changes.
//
// A [Table] is the deterministic core. It holds every agent in columns indexed
// by slot and does nothing by itself: the same calls with the same times give
// the same decisions. It is not safe for concurrent use.
//
// A [Detector] owns one Table. Its Run is the only goroutine that uses the
// table: links pass it sightings with [Detector.Report], which any goroutine
// may call, and readers get copies with [Detector.Page].
package detector
