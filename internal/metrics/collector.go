package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/wazuh-pulse/pulse/internal/detector"
)

// Node is how a node is doing when somebody gathers.
type Node struct {
	Agents      [4]int // by detector.Status
	Connections int64
	Accepted    int64            // TCP connections ever
	Heard       map[string]int64 // messages from agents, by what they were
	Refused     map[string]int64 // by cause
	LinkUp      bool             // the way to the agents is open
	Asked       map[string]int64 // of link attach: requests through the manager, by what became of them
	InFlight    int              // of these, not answered yet
	Marked      int64            // losses written into the manager's database
	Raised      int64            // the manager's own alerts
	Pace        detector.Pace
	Started     time.Time
	Sequence    uint64 // of the last message
	Healthy     bool
	Conditions  map[string]int64 // 1 for those that are on, by code

	NATS        string // "" for disabled, else a state; connected and embedded are up
	NATSUp      bool
	Streams     []Stream // none with NATS disabled
	Forwarding  Forwarding
	EventsGone  uint64 // keep-alive events that publishing did not keep up with
	Subscribers int    // of the console's stream of events
	Audit       *Audit // nil without an audit log
}

// Audit is the audit log.
type Audit struct {
	Lines, Missing uint64 // on the disk, and those that could not be kept
	Writable       bool
}

// Stream is one of the outbox's.
type Stream struct {
	Name                          string
	Published, Forwarded, Dropped uint64
	Backlog, Dead, Bytes, Lost    uint64
	CaughtUp                      uint64    // of the forwarded
	Oldest                        time.Time // when the oldest of the backlog was published; zero if there is none
}

// Forwarding is the way to the XDR's NATS.
type Forwarding struct{ Errors, LoginsRefused uint64 }

// series is one metric that is asked for.
type series struct {
	name, help string
	kind       prometheus.ValueType
	label      string // "" for none
	read       func(n *Node, put func(value float64, label string))
}

const (
	gauge   = prometheus.GaugeValue
	counter = prometheus.CounterValue
)

// one reads a metric without a label.
func one(read func(n *Node) float64) func(*Node, func(float64, string)) {
	return func(n *Node, put func(float64, string)) { put(read(n), "") }
}

// each reads a metric of the outbox's streams.
func each(read func(s *Stream) float64) func(*Node, func(float64, string)) {
	return func(n *Node, put func(float64, string)) {
		for i := range n.Streams {
			put(read(&n.Streams[i]), n.Streams[i].Name)
		}
	}
}

func named(read func(n *Node) map[string]int64) func(*Node, func(float64, string)) {
	return func(n *Node, put func(float64, string)) {
		for name, value := range read(n) {
			put(float64(value), name)
		}
	}
}

// audited reads a metric of the audit log, where there is one.
func audited(read func(a *Audit) float64) func(*Node, func(float64, string)) {
	return func(n *Node, put func(float64, string)) {
		if n.Audit != nil {
			put(read(n.Audit), "")
		}
	}
}

func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

var all = []series{
	{"pulse_agents", "Agents by status.", gauge, "status", func(n *Node, put func(float64, string)) {
		for s, count := range n.Agents {
			put(float64(count), detector.Status(s).String())
		}
	}},
	{"pulse_healthy", "1 while /healthz has no failure.", gauge, "", one(func(n *Node) float64 { return truth(n.Healthy) })},
	{"pulse_condition", "1 while something is wrong with the node, by its code.", gauge, "code", named(func(n *Node) map[string]int64 { return n.Conditions })},
	{"pulse_start_time_seconds", "When the node started, Unix time.", gauge, "", one(func(n *Node) float64 { return float64(n.Started.UnixMilli()) / 1000 })},
	{"pulse_link_connections", "Agents' open TCP connections.", gauge, "", one(func(n *Node) float64 { return float64(n.Connections) })},
	{"pulse_link_connections_accepted_total", "TCP connections accepted.", counter, "", one(func(n *Node) float64 { return float64(n.Accepted) })},
	{"pulse_link_messages_total", "Messages from agents, by kind.", counter, "kind", named(func(n *Node) map[string]int64 { return n.Heard })},
	{"pulse_link_refusals_total", "Peers and messages refused, by cause.", counter, "cause", named(func(n *Node) map[string]int64 { return n.Refused })},
	{"pulse_link_up", "1 while the way to the agents is open.", gauge, "", one(func(n *Node) float64 { return truth(n.LinkUp) })},
	{"pulse_attach_requests_total", "Requests to agents through the manager, by outcome.", counter, "outcome", named(func(n *Node) map[string]int64 { return n.Asked })},
	{"pulse_attach_requests_in_flight", "Requests that the manager has not answered.", gauge, "", one(func(n *Node) float64 { return float64(n.InFlight) })},
	{"pulse_attach_status_written_total", "Losses written into the manager's database.", counter, "", one(func(n *Node) float64 { return float64(n.Marked) })},
	{"pulse_attach_alerts_raised_total", "Alerts (rule 504) raised at the manager.", counter, "", one(func(n *Node) float64 { return float64(n.Raised) })},
	{"pulse_message_sequence", "The sequence of the last message of this life of the node.", gauge, "", one(func(n *Node) float64 { return float64(n.Sequence) })},
	{"pulse_messages_published_total", "Messages stored on the local disk, by stream.", counter, "stream", each(func(s *Stream) float64 { return float64(s.Published) })},
	{"pulse_messages_forwarded_total", "Messages confirmed by the XDR's NATS server, by stream.", counter, "stream", each(func(s *Stream) float64 { return float64(s.Forwarded) })},
	{"pulse_messages_caught_up_total", "Of the messages forwarded, those for which an outage of the XDR's NATS server was made up, by stream.", counter, "stream", each(func(s *Stream) float64 { return float64(s.CaughtUp) })},
	{"pulse_messages_dropped_total", "Messages dropped by telemetry_limit before they were forwarded, by stream.", counter, "stream", each(func(s *Stream) float64 { return float64(s.Dropped) })},
	{"pulse_messages_unpublished_total", "Keep-alive events dropped because publishing did not keep up.", counter, "", one(func(n *Node) float64 { return float64(n.EventsGone) })},
	{"pulse_outbox_depth", "Messages that wait for the XDR's NATS server, by stream.", gauge, "stream", each(func(s *Stream) float64 { return float64(s.Backlog) })},
	{"pulse_outbox_age_seconds", "Age of the oldest message that waits, by stream; 0 if none does.", gauge, "stream", each(func(s *Stream) float64 {
		if s.Oldest.IsZero() {
			return 0
		}
		return max(time.Since(s.Oldest), 0).Seconds()
	})},
	{"pulse_audit_up", "1 while the audit log can be written.", gauge, "", audited(func(a *Audit) float64 { return truth(a.Writable) })},
	{"pulse_audit_lines", "The number of the last line of the audit log that is on the disk.", gauge, "", audited(func(a *Audit) float64 { return float64(a.Lines) })},
	{"pulse_audit_lines_missing_total", "Lines that the audit log had no room for.", counter, "", audited(func(a *Audit) float64 { return float64(a.Missing) })},
	{"pulse_outbox_dead_letters", "Messages set aside since the XDR's NATS server refuses them, by stream.", gauge, "stream", each(func(s *Stream) float64 { return float64(s.Dead) })},
	{"pulse_outbox_lost_messages", "Messages of earlier lives that were gone from the local disk when the node started, by stream; of STATUS only.", gauge, "stream", each(func(s *Stream) float64 { return float64(s.Lost) })},
	{"pulse_outbox_size_bytes", "Size of a stream on the local disk.", gauge, "stream", each(func(s *Stream) float64 { return float64(s.Bytes) })},
	{"pulse_nats_up", "1 while NATS takes messages: the XDR's server, or the embedded one.", gauge, "state", func(n *Node, put func(float64, string)) {
		if n.NATS != "" {
			put(truth(n.NATSUp), n.NATS)
		}
	}},
	{"pulse_forward_errors_total", "Failed tries to connect to the XDR's NATS server or to have messages confirmed.", counter, "", one(func(n *Node) float64 { return float64(n.Forwarding.Errors) })},
	{"pulse_nats_logins_refused_total", "Logins that the XDR's NATS server refused.", counter, "", one(func(n *Node) float64 { return float64(n.Forwarding.LoginsRefused) })},
	{"pulse_console_subscribers", "Clients that follow the console's stream of events.", gauge, "", one(func(n *Node) float64 { return float64(n.Subscribers) })},
}

// collector asks for the node's state, once for each gathering.
type collector struct{ state func() Node }

// Describe says nothing in advance: which labels there are depends on the node.
func (collector) Describe(chan<- *prometheus.Desc) {}

func (c collector) Collect(out chan<- prometheus.Metric) {
	n := c.state()
	for i := range all {
		s := &all[i]
		var labels []string
		if s.label != "" {
			labels = []string{s.label}
		}
		desc := prometheus.NewDesc(s.name, s.help, labels, nil)
		s.read(&n, func(value float64, label string) {
			if s.label == "" {
				out <- prometheus.MustNewConstMetric(desc, s.kind, value)
				return
			}
			out <- prometheus.MustNewConstMetric(desc, s.kind, value, label)
		})
	}
	out <- paced("pulse_sweep_lateness_seconds", "From the moment a sweep of the agent table was due to its start.", &n.Pace.Lateness)
	out <- paced("pulse_sweep_duration_seconds", "How long a sweep took, with what it decided handed over.", &n.Pace.Round)
}

var paceBuckets = []time.Duration{100 * time.Microsecond, 500 * time.Microsecond, time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond,
	25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 5 * time.Second, 30 * time.Second}

// paced is a histogram of the detector's. Its sum is at most an eighth too
// high.
func paced(name, help string, h *detector.Histogram) prometheus.Metric {
	buckets := make(map[float64]uint64, len(paceBuckets))
	for _, b := range paceBuckets {
		buckets[b.Seconds()] = h.UpTo(b)
	}
	return prometheus.MustNewConstHistogram(prometheus.NewDesc(name, help, nil, nil), h.Count(), h.Sum().Seconds(), buckets)
}
