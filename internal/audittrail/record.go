package audittrail

import (
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/audit"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/evidence"
	"github.com/wazuh-pulse/pulse/internal/listen"
	"github.com/wazuh-pulse/pulse/internal/message"
	"github.com/wazuh-pulse/pulse/internal/outbox"
	"github.com/wazuh-pulse/pulse/internal/remote"
	"github.com/wazuh-pulse/pulse/internal/silence"
)

// RecordEpoch records that messages have another epoch than was counted.
func (t *Trail) RecordEpoch(epoch uint64) { t.log.Add(kindEpoch, slog.Uint64("epoch", epoch)) }

// RecordRefusal records a refusal on the agents' port.
func (t *Trail) RecordRefusal(r listen.Refusal) {
	attrs := []slog.Attr{slog.String("reason", r.Reason)}
	if r.From.IsValid() {
		attrs = append(attrs, slog.String("peer", r.From.String()))
	}
	if r.Agent != "" {
		attrs = append(attrs, slog.String("agent", r.Agent))
	}
	if !t.redactNames {
		attrs = append(attrs, slog.String("error", boundText(r.Err.Error())))
	}
	t.peers.Add(r.Reason+" "+r.From.Addr().String()+" "+r.Agent, attrs...)
}

// RecordConsoleRefusal records a request that the console refused.
func (t *Trail) RecordConsoleRefusal(from, reason string) {
	host, _, _ := net.SplitHostPort(from)
	t.peers.Add(reason+" "+host, slog.String("reason", reason), slog.String("peer", from))
}

// RecordRemoteEvent records an event of the connection to the XDR's NATS. What repeats
// with every try is summed up; what begins or ends an outage has a line of its own.
func (t *Trail) RecordRemoteEvent(e remote.Event, err error) {
	add := t.nats.Add
	if e == remote.Unavailable || e == remote.Available {
		add = func(_ string, attrs ...slog.Attr) { t.log.Add(kindNATS, attrs...) }
	}
	for _, f := range remote.Failures(err) {
		add(string(e)+" "+f.Server+" "+string(f.Problem), slog.String("event", string(e)), slog.String("server", f.Server),
			slog.String("problem", string(f.Problem)), slog.Bool("login_refused", f.Problem.RefusesLogin()), slog.String("error", boundText(f.What())))
	}
	if err == nil {
		add(string(e), slog.String("event", string(e)))
	}
	if e == remote.Renewed {
		t.log.Add(kindKey, slog.String("file", "nats login or TLS"), slog.String("change", "in use"))
	}
}

// RecordCaughtUp records that the XDR's NATS has all messages of a stream that waited.
func (t *Trail) RecordCaughtUp(c outbox.Class, messages uint64, after time.Duration) {
	t.log.Add(kindNATS, slog.String("event", "caught_up"), slog.String("stream", c.String()), slog.Uint64("messages", messages),
		slog.String("after", after.Round(time.Millisecond).String()))
}

// RecordDecision records what is about to be published. It is for the recorder only.
func (t *Trail) RecordDecision(r *message.Record) {
	if t.log == nil { // it is called for each keep-alive
		return
	}
	if r.Alert != nil {
		t.recordClusterAlert(r.Alert)
		return
	}
	if r.IsRoutine() {
		t.recordKeepAlive(r)
		return
	}
	agent := append(t.attrs[:0], slog.String("agent", r.ID.String()))
	if !t.redactNames {
		agent = append(agent, slog.String("name", r.Name), slog.String("ip", r.IP))
	}
	at := slog.String("at", r.Time.UTC().Format(time.RFC3339))
	switch r.Verdict {
	case detector.Changed, detector.AlertReleased, detector.Escalated:
		kind := kindTransition
		if r.Verdict != detector.Changed {
			if kind = kindAlert; !r.IsAlert() {
				return
			}
		}
		attrs := append(agent, slog.String("from", r.From.String()), slog.String("to", r.To.String()),
			slog.String("reason", r.Reason.String()), slog.Int("missed", r.Missed), slog.Bool("outage", r.Outage), at)
		if r.Changes > 0 {
			attrs = append(attrs, slog.Int("changes", r.Changes))
		}
		if r.Seen {
			attrs = append(attrs, slog.String("last_seen", r.LastSeenTime.UTC().Format(time.RFC3339)))
		}
		if kind == kindTransition && r.IsAlert() {
			attrs = append(attrs, slog.Bool("alert", true))
		}
		attrs = appendEvidence(attrs, r)
		if !t.redactNames {
			attrs = appendInfo(attrs, &r.Info)
		}
		t.log.Add(kind, attrs...)
		t.attrs = attrs
	case detector.Flapping:
		t.log.Add(kindFlapping, append(agent, slog.Int("changes", r.Changes), at)...)
	case detector.OutageBegan, detector.OutageEnded:
		kind := kindOutage
		if r.Verdict == detector.OutageEnded {
			kind = kindRecovery
		}
		f := r.Fleet
		t.log.Add(kind, slog.Int("watched", f.Watched), slog.Int("lost", f.Lost), slog.Int("connections_closed", f.Closed),
			slog.Int("fell_silent", f.Silent), slog.Int("back", f.Back), slog.Int("hosts_probed", f.HostsProbed),
			slog.Int("hosts_answered", f.HostsAnswered), at)
	case detector.Resumed:
		t.log.Add(kindLull, slog.String("for", r.Pause.Round(time.Millisecond).String()), at)
	}
}

func (t *Trail) recordClusterAlert(a *message.ClusterAlert) {
	switch {
	case a.Lost != nil:
		t.log.Add(kindNodeLost, slog.String("node", a.Lost.Node), slog.Int("agents", a.Lost.Agents), slog.Uint64("beat", a.Lost.Beat), slog.String("manager", string(a.Lost.Manager)))
	case a.Back != nil:
		t.log.Add(kindNodeBack, slog.String("node", a.Back.Node), slog.Int("agents", a.Back.Agents), slog.Uint64("beat", a.Back.Beat))
	default:
		attrs := []slog.Attr{slog.String("agent", a.Duplicated.AgentID)}
		for _, m := range a.Duplicated.Machines {
			machine := []any{slog.String("node", m.Node)}
			if !t.redactNames {
				machine = append(machine, slog.String("ip", m.IPAddress))
			}
			attrs = append(attrs, slog.Group("machine_"+strconv.Itoa(len(attrs)), machine...))
		}
		t.log.Add(kindDuplicated, attrs...)
	}
}

// appendEvidence appends what a loss was decided by, where there is something.
func appendEvidence(attrs []slog.Attr, r *message.Record) []slog.Attr {
	change := evidence.OfDecision(&r.Decision)
	e := change.Message()
	probedAt := ""
	if e.HostProbedAt != 0 {
		probedAt = e.HostProbeTime().UTC().Format(time.RFC3339)
	}
	attrs = appendKnown(attrs, "host", string(e.Host), "host_probe", e.HostProbe, "host_probed_at", probedAt,
		"confidence", strings.Join(e.Confidence, ","), "technique", e.Technique)
	if r.AwayFor > 0 {
		attrs = append(attrs, slog.Int64("away_for", int64(r.AwayFor/time.Second)))
	}
	if r.Silenced {
		attrs = append(attrs, slog.Bool("silenced", true))
	}
	return attrs
}

func appendInfo(attrs []slog.Attr, i *detector.Info) []slog.Attr {
	return appendKnown(attrs, "wazuh_groups", i.Groups, "os_name", i.OSName, "os_version", i.OSVersion, "agent_version", i.Version)
}

// appendKnown appends attributes of names and values, without those that have none.
func appendKnown(attrs []slog.Attr, pairs ...string) []slog.Attr {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			attrs = append(attrs, slog.String(pairs[i], boundText(pairs[i+1])))
		}
	}
	return attrs
}

var outcomes = map[detector.Verdict]audit.Outcome{detector.Send: audit.Sent, detector.Acknowledged: audit.Answered, detector.Failed: audit.Failed}

func (t *Trail) recordKeepAlive(r *message.Record) {
	outcome := outcomes[r.Verdict]
	if r.SendErr != nil {
		outcome = audit.Failed
	}
	if !t.full.Load() {
		t.sums.CountKeepAlive(t.log, time.Now(), uint32(r.ID), outcome)
		return
	}
	attrs := []slog.Attr{slog.String("agent", r.ID.String()), slog.String("result", outcome.String())}
	switch {
	case r.SendErr != nil:
		attrs = append(attrs, slog.String("error", boundText(r.SendErr.Error())))
	case r.Verdict == detector.Acknowledged:
		attrs = append(attrs, slog.Duration("rtt_ns", r.RTT))
	case r.Verdict == detector.Failed:
		attrs = append(attrs, slog.Int("missed", r.Missed))
	}
	t.log.Add(kindKeepAlive, attrs...)
}

// RecordKeepAliveSums writes the sums of keep-alives when a minute is over, though none
// is sent. It is for the recorder only.
func (t *Trail) RecordKeepAliveSums() { t.sums.FlushMinute(t.log, time.Now()) }

// RecordManagerProblem records the problem of the manager that Pulse is attached to, if
// it changed. It is for the recorder only.
func (t *Trail) RecordManagerProblem(problem string) {
	if problem != t.managerProblem {
		t.managerProblem = problem
		t.log.Add(kindManager, slog.String("problem", boundText(problem)))
	}
}

// RecordCondition records that a condition of the node began or ended.
func (t *Trail) RecordCondition(code string, state event.State, failure bool, problem string) {
	t.log.Add(kindCondition, slog.String("code", code), slog.String("state", string(state)), slog.Bool("failure", failure),
		slog.String("problem", boundText(problem)))
}

// RecordUnpublished records that the local store did not take messages.
func (t *Trail) RecordUnpublished(messages int, err error) {
	t.log.Add(kindPublishFailed, slog.Int("messages", messages), slog.String("error", boundText(err.Error())))
}

// RecordSilence records that a silence was added by somebody at an address, that it was
// ended, or that it is over; of a weekly one also when it begins and pauses.
func (t *Trail) RecordSilence(change string, s *silence.Silence, peer string) {
	if t.log == nil {
		return
	}
	e := s.Entry()
	attrs := []slog.Attr{slog.String("change", change), slog.String("silence", e.ID), slog.String("times", e.Times())}
	if !t.redactNames {
		attrs = append(attrs, slog.String("selects", e.Selects()), slog.String("comment", e.Comment))
	}
	if e.By != "" {
		attrs = append(attrs, slog.String("by", e.By))
	}
	if e.EndedBy != "" {
		attrs = append(attrs, slog.String("ended_by", e.EndedBy))
	}
	if peer != "" {
		attrs = append(attrs, slog.String("peer", peer))
	}
	t.log.Add(kindSilence, attrs...)
}

// Throughput is how many messages were published and forwarded since the node started.
type Throughput struct {
	outbox.Stats
	Unstored uint64 // keep-alive events that publishing did not keep up with
}

// recordThroughput records the messages since the last call. There always are some:
// heartbeats are messages too.
func (t *Trail) recordThroughput(now *Throughput, until time.Time) {
	last := &t.last
	status := countsSince(now.Status, last.Status)
	telemetry := append(countsSince(now.Telemetry, last.Telemetry), slog.Uint64("dropped", now.Telemetry.Dropped-last.Telemetry.Dropped),
		slog.Uint64("dropped_before_storing", now.Unstored-last.Unstored))
	t.log.Add(kindPublishing, slog.String("until", until.UTC().Format(time.RFC3339)),
		slog.GroupAttrs("status", status...), slog.GroupAttrs("telemetry", telemetry...),
		slog.Uint64("waiting", now.Status.Backlog+now.Telemetry.Backlog),
		slog.Uint64("forward_errors", now.ForwardErrors-last.ForwardErrors), slog.Uint64("logins_refused", now.LoginsRefused-last.LoginsRefused))
	if n := now.Status.Lost; n > last.Status.Lost {
		t.log.Add(kindLost, slog.Uint64("messages", n))
	}
	if was, is := last.DeadLetters(), now.DeadLetters(); was != is {
		t.log.Add(kindDeadLetters, slog.Uint64("were", was), slog.Uint64("are", is), slog.String("first", boundText(now.DeadReason())))
	}
}

func countsSince(now, last outbox.StreamStats) []slog.Attr {
	return []slog.Attr{slog.Uint64("published", now.Published-last.Published), slog.Uint64("forwarded", now.Forwarded-last.Forwarded)}
}
