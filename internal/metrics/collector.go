package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/wazuh-pulse/pulse/internal/detector"
)

// Node is a snapshot of the node's state, for one gathering.
type Node struct {
	Agents            detector.Counts
	Connections       int64
	Accepted          int64            // TCP connections since the start
	Received          map[string]int64 // messages from agents, by what they were
	Refused           map[string]int64 // by cause
	Panics            int64            // while a peer was served
	LinkUp            bool             // the link to the agents works
	Requests          map[string]int64 // of link attach: requests through the manager, by outcome
	InFlight          int              // of these, not answered yet
	StatusesWritten   int64            // losses written into the manager's database
	AlertsRaised      int64            // the manager's own alerts
	HostProbes        map[string]int64 // results of probes of lost agents' hosts
	ManagerEvents     int64            // Pulse's own events that the manager took
	ManagerDropped    int64            // of these, the ones that it did not take in time
	ManagerAgents     map[string]int64 // that the manager calls active, by what shows a loss
	NotAskedLostAfter float64          // seconds of silence in the database
	Pace              detector.Timings
	Started           time.Time
	DiskFree          int64  // bytes; 0 if it is not known
	Sequence          uint64 // of the last message
	Healthy           bool
	Conditions        map[string]int64 // 1 for those that hold, by code
	Expiries          map[string]int64 // when it expires, Unix time, by what does
	Silences          map[string]int64 // that are not over, by state
	AgentsSilenced    int
	SilencesRefused   int // of the state directory

	NATS    string // "" for disabled, else a state; connected and embedded are up
	NATSUp  bool
	Streams []Stream // none with NATS disabled
	// Forwarding counts failures of the connection to the XDR platform's NATS
	// server.
	Forwarding    Forwarding
	EventsDropped uint64 // keep-alive events dropped because publishing did not keep up
	Subscribers   int    // of the console's stream of events
	// Audit is the state of the audit log.
	Audit   *Audit   // nil without an audit log
	Cluster *Cluster // nil outside a cluster
}

// Cluster is the shared view of a cluster.
type Cluster struct {
	Nodes                                            map[string]int64 // by state
	CutOff, Loaded                                   bool
	BeatAge                                          float64 // seconds since this node's last sign of life was stored
	Agents, Claims, Bytes, Queued                    int
	Read, Stored, Failed, Refused, Replayed, Rereads uint64
	FalseHints, Requests                             uint64
}

// Audit is the audit log.
type Audit struct {
	Lines, Missing uint64 // on the disk, and those for which there was no room
	Writable       bool
}

// Stream is the state of one of the outbox's streams.
type Stream struct {
	Name                               string
	Published, Forwarded, Dropped      uint64
	Backlog, DeadLetters, Bytes, Lost  uint64
	Waiting, Unacknowledged, ReusedIDs uint64
	CaughtUp                           uint64    // of the forwarded
	Oldest                             time.Time // when the oldest of the backlog was published; zero if there is none
}

// Forwarding is the way to the XDR's NATS.
type Forwarding struct{ Errors, LoginsRefused uint64 }

// series is one metric read from a [Node].
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

// readValue returns a reader of a metric without a label.
func readValue(read func(n *Node) float64) func(*Node, func(float64, string)) {
	return func(n *Node, put func(float64, string)) { put(read(n), "") }
}

// readStreams returns a reader of a metric of the outbox's streams.
func readStreams(read func(s *Stream) float64) func(*Node, func(float64, string)) {
	return func(n *Node, put func(float64, string)) {
		for i := range n.Streams {
			put(read(&n.Streams[i]), n.Streams[i].Name)
		}
	}
}

// readLabelled returns a reader of a metric with a value for each label.
func readLabelled(read func(n *Node) map[string]int64) func(*Node, func(float64, string)) {
	return func(n *Node, put func(float64, string)) {
		for name, value := range read(n) {
			put(float64(value), name)
		}
	}
}

// readAudit returns a reader of a metric of the audit log, where there is one.
func readAudit(read func(a *Audit) float64) func(*Node, func(float64, string)) {
	return func(n *Node, put func(float64, string)) {
		if n.Audit != nil {
			put(read(n.Audit), "")
		}
	}
}

// readCluster returns a reader of a metric of the cluster, where there is one.
func readCluster(read func(c *Cluster) float64) func(*Node, func(float64, string)) {
	return func(n *Node, put func(float64, string)) {
		if n.Cluster != nil {
			put(read(n.Cluster), "")
		}
	}
}

func boolValue(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

var nodeSeries = []series{
	{"pulse_agents", "Agents by status; the disconnected that are away for dormant_after or longer are dormant instead.", gauge, "status", func(n *Node, put func(float64, string)) {
		for s, count := range n.Agents.ByStatus {
			if detector.Status(s) == detector.Disconnected {
				count -= n.Agents.Dormant
			}
			put(float64(count), detector.Status(s).String())
		}
		put(float64(n.Agents.Dormant), "dormant")
	}},
	{"pulse_healthy", "1 while /healthz has no failure.", gauge, "", readValue(func(n *Node) float64 { return boolValue(n.Healthy) })},
	{"pulse_silences", "Silences that are not over, by state: active, or waiting for the next of their weekly times.", gauge, "state", readLabelled(func(n *Node) map[string]int64 { return n.Silences })},
	{"pulse_agents_silenced", "Agents whose alerts are held back by silences.", gauge, "", readValue(func(n *Node) float64 { return float64(n.AgentsSilenced) })},
	{"pulse_silences_refused", "Silences in the state directory that were damaged when the node started.", gauge, "", readValue(func(n *Node) float64 { return float64(n.SilencesRefused) })},
	{"pulse_state_disk_free_bytes", "What is free on the disk of the state directory.", gauge, "", readValue(func(n *Node) float64 { return float64(n.DiskFree) })},
	{"pulse_expiry_timestamp_seconds", "When it expires, Unix time.", gauge, "what", readLabelled(func(n *Node) map[string]int64 { return n.Expiries })},
	{"pulse_condition", "1 while something is wrong with the node, by its code.", gauge, "code", readLabelled(func(n *Node) map[string]int64 { return n.Conditions })},
	{"pulse_start_time_seconds", "When the node started, Unix time.", gauge, "", readValue(func(n *Node) float64 { return float64(n.Started.UnixMilli()) / 1000 })},
	{"pulse_link_connections", "Agents' open TCP connections.", gauge, "", readValue(func(n *Node) float64 { return float64(n.Connections) })},
	{"pulse_link_connections_accepted_total", "TCP connections accepted.", counter, "", readValue(func(n *Node) float64 { return float64(n.Accepted) })},
	{"pulse_link_messages_total", "Messages from agents, by kind.", counter, "kind", readLabelled(func(n *Node) map[string]int64 { return n.Received })},
	{"pulse_link_refusals_total", "Peers and messages refused, by cause.", counter, "cause", readLabelled(func(n *Node) map[string]int64 { return n.Refused })},
	{"pulse_link_panics_total", "Faults of Pulse while it served a peer, each of which ended that peer's connection.", counter, "", readValue(func(n *Node) float64 { return float64(n.Panics) })},
	{"pulse_link_up", "1 while the way to the agents is open.", gauge, "", readValue(func(n *Node) float64 { return boolValue(n.LinkUp) })},
	{"pulse_attach_agents", "Agents that the manager calls active, by what shows their loss: request (and their connection), or the database alone.", gauge, "by", readLabelled(func(n *Node) map[string]int64 { return n.ManagerAgents })},
	{"pulse_attach_database_lost_after_seconds", "Silence in the database after which an agent is lost that only it shows; 0 beside Wazuh 4.", gauge, "", readValue(func(n *Node) float64 { return n.NotAskedLostAfter })},
	{"pulse_attach_requests_total", "Requests to agents through the manager, by outcome.", counter, "outcome", readLabelled(func(n *Node) map[string]int64 { return n.Requests })},
	{"pulse_attach_requests_in_flight", "Requests that the manager has not answered.", gauge, "", readValue(func(n *Node) float64 { return float64(n.InFlight) })},
	{"pulse_attach_status_written_total", "Losses written into the manager's database.", counter, "", readValue(func(n *Node) float64 { return float64(n.StatusesWritten) })},
	{"pulse_attach_alerts_raised_total", "Alerts (rule 504) raised at the manager.", counter, "", readValue(func(n *Node) float64 { return float64(n.AlertsRaised) })},
	{"pulse_host_probes_total", "Probes of lost agents' hosts, by the result.", counter, "host", readLabelled(func(n *Node) map[string]int64 { return n.HostProbes })},
	{"pulse_attach_events_sent_total", "Pulse's own events for the manager's rules.", counter, "", readValue(func(n *Node) float64 { return float64(n.ManagerEvents) })},
	{"pulse_attach_events_dropped_total", "Events dropped because the manager took none.", counter, "", readValue(func(n *Node) float64 { return float64(n.ManagerDropped) })},
	{"pulse_message_sequence", "The sequence of the last message of this life of the node.", gauge, "", readValue(func(n *Node) float64 { return float64(n.Sequence) })},
	{"pulse_messages_published_total", "Messages stored on the local disk, by stream.", counter, "stream", readStreams(func(s *Stream) float64 { return float64(s.Published) })},
	{"pulse_messages_forwarded_total", "Messages confirmed by the XDR's NATS server, by stream.", counter, "stream", readStreams(func(s *Stream) float64 { return float64(s.Forwarded) })},
	{"pulse_messages_caught_up_total", "Of the messages forwarded, those for which an outage of the XDR's NATS server was made up, by stream.", counter, "stream", readStreams(func(s *Stream) float64 { return float64(s.CaughtUp) })},
	{"pulse_messages_dropped_total", "Messages dropped by telemetry_limit before they were forwarded, by stream.", counter, "stream", readStreams(func(s *Stream) float64 { return float64(s.Dropped) })},
	{"pulse_messages_unpublished_total", "Keep-alive events dropped because publishing did not keep up.", counter, "", readValue(func(n *Node) float64 { return float64(n.EventsDropped) })},
	{"pulse_outbox_depth", "Messages that wait for the XDR's NATS server, by stream.", gauge, "stream", readStreams(func(s *Stream) float64 { return float64(s.Backlog) })},
	{"pulse_outbox_age_seconds", "Age of the oldest message that waits, by stream; 0 if none does.", gauge, "stream", readStreams(func(s *Stream) float64 {
		if s.Oldest.IsZero() {
			return 0
		}
		return max(time.Since(s.Oldest), 0).Seconds()
	})},
	{"pulse_audit_up", "1 while the audit log can be written.", gauge, "", readAudit(func(a *Audit) float64 { return boolValue(a.Writable) })},
	{"pulse_audit_lines", "The number of the last line of the audit log that is on the disk.", gauge, "", readAudit(func(a *Audit) float64 { return float64(a.Lines) })},
	{"pulse_audit_lines_missing_total", "Lines that the audit log had no room for.", counter, "", readAudit(func(a *Audit) float64 { return float64(a.Missing) })},
	{"pulse_cluster_nodes", "Nodes of the cluster, by what this one knows of them: up, lost, unknown, or cut_off if it is that itself.", gauge, "state", func(n *Node, put func(float64, string)) {
		if n.Cluster != nil {
			for state, count := range n.Cluster.Nodes {
				put(float64(count), state)
			}
		}
	}},
	{"pulse_cluster_cut_off", "1 while this node is cut off from the others.", gauge, "", readCluster(func(c *Cluster) float64 { return boolValue(c.CutOff) })},
	{"pulse_cluster_loaded", "1 once all that the nodes have stored was read.", gauge, "", readCluster(func(c *Cluster) float64 { return boolValue(c.Loaded) })},
	{"pulse_cluster_beat_age_seconds", "How long ago this node's last sign of life was stored; there is one every 4 s.", gauge, "", readCluster(func(c *Cluster) float64 { return c.BeatAge })},
	{"pulse_cluster_agents", "Agents that this node claims to have.", gauge, "", readCluster(func(c *Cluster) float64 { return float64(c.Agents) })},
	{"pulse_cluster_claims", "Claims of all nodes that this one keeps.", gauge, "", readCluster(func(c *Cluster) float64 { return float64(c.Claims) })},
	{"pulse_cluster_bytes", "Memory that the claims take.", gauge, "", readCluster(func(c *Cluster) float64 { return float64(c.Bytes) })},
	{"pulse_cluster_queued", "Claims of this node that are to be stored.", gauge, "", readCluster(func(c *Cluster) float64 { return float64(c.Queued) })},
	{"pulse_cluster_records_read_total", "Records of the nodes that were read.", counter, "", readCluster(func(c *Cluster) float64 { return float64(c.Read) })},
	{"pulse_cluster_records_stored_total", "Records of this node that were stored.", counter, "", readCluster(func(c *Cluster) float64 { return float64(c.Stored) })},
	{"pulse_cluster_records_failed_total", "Records of this node that were not stored at once, and are stored again.", counter, "", readCluster(func(c *Cluster) float64 { return float64(c.Failed) })},
	{"pulse_cluster_records_refused_total", "Values in the bucket that were not signed as they have to be.", counter, "", readCluster(func(c *Cluster) float64 { return float64(c.Refused) })},
	{"pulse_cluster_records_replayed_total", "Records that were refused: older than what their node had stored before, or impossible.", counter, "", readCluster(func(c *Cluster) float64 { return float64(c.Replayed) })},
	{"pulse_cluster_rereads_total", "How often the whole bucket was read again.", counter, "", readCluster(func(c *Cluster) float64 { return float64(c.Rereads) })},
	{"pulse_cluster_false_hints_total", "Announcements of records that are not there.", counter, "", readCluster(func(c *Cluster) float64 { return float64(c.FalseHints) })},
	{"pulse_cluster_requests_total", "Requests for records.", counter, "", readCluster(func(c *Cluster) float64 { return float64(c.Requests) })},
	{"pulse_outbox_dead_letters", "Messages set aside since the XDR's NATS server refuses them, by stream.", gauge, "stream", readStreams(func(s *Stream) float64 { return float64(s.DeadLetters) })},
	{"pulse_outbox_waiting", "Messages that wait, since the XDR's NATS server does not store them at present, though it stored their like before; by stream.", gauge, "stream", readStreams(func(s *Stream) float64 { return float64(s.Waiting) })},
	{"pulse_messages_unacknowledged_total", "Of the messages forwarded, those that no stream of the XDR's NATS server acknowledged, by stream.", counter, "stream", readStreams(func(s *Stream) float64 { return float64(s.Unacknowledged) })},
	{"pulse_message_ids_reused_total", "Messages under whose ID the XDR's NATS server had another one: they went out under another ID; by stream.", counter, "stream", readStreams(func(s *Stream) float64 { return float64(s.ReusedIDs) })},
	{"pulse_outbox_lost_messages", "Messages of earlier lives that were gone from the local disk when the node started, by stream; of STATUS only.", gauge, "stream", readStreams(func(s *Stream) float64 { return float64(s.Lost) })},
	{"pulse_outbox_size_bytes", "Size of a stream on the local disk.", gauge, "stream", readStreams(func(s *Stream) float64 { return float64(s.Bytes) })},
	{"pulse_nats_up", "1 while NATS takes messages: the XDR's server, or the embedded one.", gauge, "state", func(n *Node, put func(float64, string)) {
		if n.NATS != "" {
			put(boolValue(n.NATSUp), n.NATS)
		}
	}},
	{"pulse_forward_errors_total", "Failed tries to connect to the XDR's NATS server or to have messages confirmed.", counter, "", readValue(func(n *Node) float64 { return float64(n.Forwarding.Errors) })},
	{"pulse_nats_logins_refused_total", "Logins that the XDR's NATS server refused.", counter, "", readValue(func(n *Node) float64 { return float64(n.Forwarding.LoginsRefused) })},
	{"pulse_console_subscribers", "Clients that follow the console's stream of events.", gauge, "", readValue(func(n *Node) float64 { return float64(n.Subscribers) })},
}

// collector reads the node's state once for each gathering.
type collector struct{ state func() Node }

// Describe sends nothing: which labels there are depends on the node.
func (collector) Describe(chan<- *prometheus.Desc) {}

func (c collector) Collect(out chan<- prometheus.Metric) {
	n := c.state()
	for i := range nodeSeries {
		s := &nodeSeries[i]
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
	out <- newPaceHistogram("pulse_sweep_lateness_seconds", "From the moment a sweep of the agent table was due to its start.", &n.Pace.Lateness)
	out <- newPaceHistogram("pulse_sweep_duration_seconds", "How long a sweep took, with what it decided handed over.", &n.Pace.Round)
}

var paceBuckets = []time.Duration{100 * time.Microsecond, 500 * time.Microsecond, time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond,
	25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 5 * time.Second, 30 * time.Second}

// newPaceHistogram returns one of the detector's histograms. Its sum is at
// most an eighth too high.
func newPaceHistogram(name, help string, h *detector.Histogram) prometheus.Metric {
	buckets := make(map[float64]uint64, len(paceBuckets))
	for _, b := range paceBuckets {
		buckets[b.Seconds()] = h.UpTo(b)
	}
	return prometheus.MustNewConstHistogram(prometheus.NewDesc(name, help, nil, nil), h.Count(), h.Sum().Seconds(), buckets)
}
