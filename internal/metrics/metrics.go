// Package metrics exports a node's counters to Prometheus. Names and units
// follow Prometheus's guidelines: base units, _total for counters, one name for
// one thing.
//
// Decisions are counted when the detector's goroutine reports them; everything
// else is read from a [Node] for each gathering. The package starts no
// goroutines, and all methods may be called concurrently.
package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/wazuh-pulse/pulse/internal/detector"
)

// Metrics are the metrics of one node. See [New].
type Metrics struct {
	registry *prometheus.Registry

	sent, answered, unsent, missed     prometheus.Counter
	transitions                        *prometheus.CounterVec
	summed, flapping, outages, starved prometheus.Counter
	escalations                        prometheus.Counter
	nodesLost, duplicated              prometheus.Counter
	losses                             *prometheus.CounterVec
	roundTrip, delay                   prometheus.Histogram
	outage                             prometheus.Gauge
}

var (
	// Round trips within a host to those around the world, and beyond the usual
	// retry_interval.
	roundTripBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	// From immediate detection to a timeout of minutes.
	delayBuckets = []float64{.1, .5, 1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600}
)

// New returns the metrics of a node. It calls state for each gathering.
func New(node, version string, state func() Node) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		sent:     counter("pulse_keepalives_sent_total", "Keep-alives that were due and handed to the link."),
		answered: counter("pulse_keepalives_answered_total", "Keep-alives that their agent answered."),
		missed:   counter("pulse_keepalives_missed_total", "Keep-alives without an answer in time."),
		unsent:   counter("pulse_keepalives_unsent_total", "Keep-alives that could not be sent."),
		transitions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pulse_transitions_total",
			Help: "Status changes of agents, by the new status and the reason."}, []string{"status", "reason"}),
		summed:      counter("pulse_transitions_summed_total", "Status changes of agents that change too often, of which only the last of several was published."),
		flapping:    counter("pulse_agents_flapping_total", "Times an agent was found to flap."),
		escalations: counter("pulse_escalations_total", "Times that an agent had been away for one of escalate_after."),
		nodesLost:   counter("pulse_nodes_lost_total", "Other nodes whose loss this node has announced."),
		duplicated:  counter("pulse_agents_duplicated_total", "Alerts of this node that two machines have the key of one agent."),
		losses: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pulse_losses_total",
			Help: "Losses of agents, by whether the agent's host answers."}, []string{"host"}),
		outages: counter("pulse_fleet_outages_total", "Times a fleet outage was reported; one that spreads again is reported again."),
		starved: counter("pulse_starved_seconds_total", "Time for which Pulse itself was stopped or starved."),
		outage:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "pulse_fleet_outage", Help: "1 while a fleet outage goes on."}),
		roundTrip: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "pulse_round_trip_seconds",
			Help: "From a keep-alive's decision to its answer.", Buckets: roundTripBuckets}),
		delay: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "pulse_detection_delay_seconds",
			Help: "From the last sign of life of an agent that was lost to the decision that it is: the longest its death can have gone unnoticed.", Buckets: delayBuckets}),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "pulse_build_info", Help: "1, with the version and the node's name.",
		ConstLabels: prometheus.Labels{"version": version, "node": node}})
	info.Set(1)
	m.registry.MustRegister(m.sent, m.answered, m.missed, m.unsent, m.transitions, m.losses, m.escalations, m.summed, m.flapping, m.nodesLost, m.duplicated, m.outages, m.starved, m.outage,
		m.roundTrip, m.delay, info, collector{state}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.createSeries()
	return m
}

// createSeries creates the series that alerts are about before the first
// event: rate() misses the first rise of a series that did not exist.
func (m *Metrics) createSeries() {
	for _, host := range []detector.Host{detector.HostUnknown, detector.HostAnswers, detector.HostSilent} {
		m.losses.WithLabelValues(host.String())
	}
	for _, of := range []struct {
		to  detector.Status
		why []detector.Reason
	}{
		{detector.Active, []detector.Reason{detector.Connected, detector.Reconnected}},
		{detector.Pending, []detector.Reason{detector.Startup}},
		{detector.Disconnected, []detector.Reason{detector.KeepAliveTimeout, detector.MissedKeepAlives, detector.ConnectionLost,
			detector.AgentShutdown, detector.AgentRemoved, detector.AgentMoved, detector.NodeLost}},
	} {
		for _, why := range of.why {
			m.transitions.WithLabelValues(of.to.String(), why.String())
		}
	}
}

// Registry returns the registry to gather from.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

// CountClusterAlert counts an alert that a node is lost, or that two machines have one
// agent's key.
func (m *Metrics) CountClusterAlert(nodeLost, duplicated bool) {
	if nodeLost {
		m.nodesLost.Inc()
	}
	if duplicated {
		m.duplicated.Inc()
	}
}

// CountUnsent counts a keep-alive that could not be sent.
func (m *Metrics) CountUnsent() { m.unsent.Inc() }

// RestoreOutage sets that a fleet outage of an earlier run of the node still
// goes on.
func (m *Metrics) RestoreOutage() { m.outage.Set(1) }

// CountDecisions counts decisions. Now is the present time of the detector's
// clock.
func (m *Metrics) CountDecisions(decisions []detector.Decision, now detector.Instant) {
	var sent, answered, missed float64
	for i := range decisions {
		d := &decisions[i]
		switch d.Verdict {
		case detector.Send:
			sent++
		case detector.Acknowledged:
			answered++
			m.roundTrip.Observe(d.RTT.Seconds())
		case detector.Failed:
			missed++
		case detector.Changed:
			m.transitions.WithLabelValues(d.To.String(), d.Reason.String()).Inc()
			m.summed.Add(float64(max(0, d.Changes-1)))
			if d.To == detector.Disconnected && d.Reason.IsLoss() {
				m.losses.WithLabelValues(d.Host.String()).Inc()
			}
			if d.To == detector.Disconnected && d.Seen && d.Reason.IsLoss() {
				m.delay.Observe(max(now.Sub(d.LastSeen), 0).Seconds())
			}
		case detector.Escalated:
			m.escalations.Inc()
		case detector.Flapping:
			m.flapping.Inc()
		case detector.OutageBegan:
			m.outages.Inc()
			m.outage.Set(1)
		case detector.OutageEnded:
			m.outage.Set(0)
		case detector.Resumed:
			m.starved.Add(d.Pause.Seconds())
		}
	}
	m.sent.Add(sent)
	m.answered.Add(answered)
	m.missed.Add(missed)
}
