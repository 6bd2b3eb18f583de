package daemon

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/epoch"
	"github.com/wazuh-pulse/pulse/internal/expiry"
	"github.com/wazuh-pulse/pulse/internal/message"
	"github.com/wazuh-pulse/pulse/internal/outbox"
	"github.com/wazuh-pulse/pulse/internal/plural"
	"github.com/wazuh-pulse/pulse/internal/view"
)

// Condition is a problem that the node has now. A failure keeps
// messages from the XDR platform, or agents from being watched, and fails
// /healthz; anything else is a warning.
type Condition struct {
	Code    string    `json:"code"`
	Failure bool      `json:"failure"`
	Problem string    `json:"problem"`
	Since   time.Time `json:"since"`
}

// losses are what is being lost, or was within lossPeriod.
type losses struct{ telemetry, audit, panics, ids bool }

// observation is what conditions are derived from.
type observation struct {
	*Status
	losing  losses
	storing error // why the outbox cannot store any more

	refused []string // what the NATS server refuses of what the node cannot do without
	user    string   // the name in the node's login

	expiring []expiry.Item // soon
	free     int64         // bytes of the state directory's disk
	fullAt   time.Time     // when it is full; zero if that is far off or not known

	unwritten string // files of the state directory
	exposed   string // what is wrong with the state directory
}

// waitingGrace is for how long messages may wait to be stored, as they do while a
// cluster elects a leader, before that is a condition.
const waitingGrace = 5 * time.Second

// conditionCheck derives one condition. problem returns "" while it is off.
// Problems are published and logged: they hold no names of agents, no secrets.
type conditionCheck struct {
	code    string
	failure bool
	problem func(o *observation) string
}

// conditionChecks are all conditions there are. Each code has a row in
// docs/messages.md.
var conditionChecks = []conditionCheck{
	{"outbox_failed", true, func(o *observation) string {
		if o.storing == nil {
			return ""
		}
		return "outbox: " + o.storing.Error()
	}},
	{"nats_unavailable", true, func(o *observation) string {
		if o.NATS.State != event.NATSUnavailable {
			return ""
		}
		why := ""
		if o.NATS.Problem != "" {
			why = " (" + o.NATS.Problem + ")"
		}
		return "the NATS server is unavailable since " + o.NATS.Since.Format(time.RFC3339) + why + ": messages wait on disk"
	}},
	{"rights_missing", true, describeRightsMissing},
	{"server_node_away", true, describeServerNodeAway},
	{"cluster_cut_off", true, func(o *observation) string {
		if o.Cluster == nil || !o.Cluster.CutOff {
			return ""
		}
		return "this node is cut off from the others of its cluster since " + o.Cluster.Since.UTC().Format(time.RFC3339) + ": it goes on by what it sees itself, and an agent that has moved may be lost here until it is not"
	}},
	{"name_taken", true, describeNameTaken},
	{"name_shared", false, describeNameShared},
	{"name_unwatched", false, describeNameUnwatched},
	{"messages_waiting", true, func(o *observation) string {
		if o.Outbox == nil || o.Outbox.Waiting() == 0 || time.Since(o.Outbox.WaitingSince()) < waitingGrace {
			return ""
		}
		n := o.Outbox.Waiting()
		return fmt.Sprintf("%s %s on disk, since the NATS server does not store %s, though it stored such before; the first: %s",
			plural.CountNoun(n, "message"), plural.ChooseForm(n, "waits", "wait"), plural.ChooseForm(n, "it", "them"), o.Outbox.WaitingReason())
	}},
	{"ocsf_waiting", true, func(o *observation) string {
		if o.OCSF == nil || o.OCSF.Problem == "" || time.Since(o.OCSF.Since) < waitingGrace {
			return ""
		}
		return fmt.Sprintf("the events of %s are not published as OCSF: %s", plural.CountNoun(o.OCSF.Waiting, "message"), o.OCSF.Problem)
	}},
	{"message_id_used", true, func(o *observation) string {
		if !o.losing.ids {
			return ""
		}
		return fmt.Sprintf("the NATS server had messages under the IDs of new ones of ours, %d so far: another node has this node's name, or somebody foresees its IDs",
			o.Outbox.Status.Duplicates+o.Outbox.Telemetry.Duplicates)
	}},
	{"telemetry_dropped", true, func(o *observation) string {
		if !o.losing.telemetry {
			return ""
		}
		return fmt.Sprintf("keep-alive events are being dropped, %d so far", o.TelemetryDropped)
	}},
	{"audit_failing", true, func(o *observation) string {
		if o.Audit == nil || o.Audit.Problem == "" {
			return ""
		}
		return "the audit log cannot be written since " + o.Audit.Since.Format(time.RFC3339) + ": " + o.Audit.Problem
	}},
	{"audit_losing", true, func(o *observation) string {
		if !o.losing.audit {
			return ""
		}
		return fmt.Sprintf("the audit log is losing lines, %d so far", o.Audit.Missing)
	}},
	{"manager_failing", true, func(o *observation) string {
		if o.Link.Attach == nil || o.Link.Attach.Problem == "" {
			return ""
		}
		return "the manager: " + o.Link.Attach.Problem
	}},
	{"peer_panic", true, func(o *observation) string {
		if !o.losing.panics {
			return ""
		}
		return fmt.Sprintf("a fault in Pulse ends connections of agents, %d so far: the log has the stack", o.Link.Panics)
	}},
	{"agents_vanished", true, func(o *observation) string {
		if o.Link.Inventory == nil {
			return ""
		}
		return o.Link.Inventory.VanishedProblem()
	}},
	{"agents_unreadable", true, func(o *observation) string {
		if o.Link.Inventory == nil || o.Link.Inventory.Problem == "" {
			return ""
		}
		return "the list of agents stays as it was last read: " + o.Link.Inventory.Problem
	}},
	{"epoch_ahead", true, func(o *observation) string { return epoch.AheadProblem(o.Epoch, time.Now()) }},
	{"state_unwritten", true, func(o *observation) string { return o.unwritten }},
	{"state_exposed", false, func(o *observation) string { return o.exposed }},
	{"expiring", false, describeExpiring},
	{"disk_filling", false, describeDiskFilling},
	{"settings_refused", false, func(o *observation) string {
		if o.SettingsProblem == "" {
			return ""
		}
		return "the settings that were read last are not in effect: " + o.SettingsProblem
	}},
	{"status_lost", false, func(o *observation) string {
		if o.Outbox == nil || o.Outbox.Status.Lost == 0 {
			return ""
		}
		return fmt.Sprintf("%d status changes and alerts were gone from the store when Pulse started", o.Outbox.Status.Lost)
	}},
	{"status_unconfirmed", false, func(o *observation) string {
		if o.Outbox == nil || o.Outbox.Status.Unconfirmed == "" {
			return ""
		}
		return "nothing confirms status changes: no stream of the NATS server has ever acknowledged " + o.Outbox.Status.Unconfirmed
	}},
	{"dead_letters", false, func(o *observation) string {
		if o.Outbox == nil || o.Outbox.DeadLetters() == 0 {
			return ""
		}
		n := o.Outbox.DeadLetters()
		return fmt.Sprintf("%s %s set aside, which the NATS server refuses; the first: %s", plural.CountNoun(n, "message"), plural.ChooseForm(n, "is", "are"), o.Outbox.DeadReason())
	}},
}

// serverNodeGrace is for how long the node that runs the cluster's NATS server may be away,
// as it is when its Pulse starts anew, before that is a condition.
const serverNodeGrace = 10 * time.Second

// describeServerNodeAway says what stops while the node that runs the cluster's NATS server
// is away.
func describeServerNodeAway(o *observation) string {
	n := &o.NATS
	if n.ServerNode == "" || n.ServerNode == o.Node || n.State == event.NATSConnected || time.Since(n.Since) < serverNodeGrace && n.State != event.NATSUnavailable {
		return ""
	}
	return fmt.Sprintf("node %s, whose Pulse runs the cluster's NATS server, is away: this node watches its agents, and its messages wait on disk until then; "+
		"agents that move between nodes look lost, nodes that are lost are announced by nobody, and no question is answered", n.ServerNode)
}

// ConditionCodes are the codes of all conditions.
func ConditionCodes() (codes []string) {
	for _, c := range conditionChecks {
		codes = append(codes, c.code)
	}
	return codes
}

// deriveConditions returns the conditions that are on, in the order of the table.
func deriveConditions(o *observation) (on []Condition) {
	for _, c := range conditionChecks {
		if problem := c.problem(o); problem != "" {
			on = append(on, Condition{Code: c.code, Failure: c.failure, Problem: problem})
		}
	}
	return on
}

func makeHealth(on []Condition) (h view.Health) {
	for _, c := range on {
		if c.Failure {
			h.Failures = append(h.Failures, c.Problem)
		} else {
			h.Warnings = append(h.Warnings, c.Problem)
		}
	}
	return h
}

// conditionHold is how long a condition has to be off before it counts as ended, so that
// one that is on and off in turn is not announced each time.
const conditionHold = 5 * time.Second

// conditionTracker remembers which conditions have begun. The zero value is ready
// for use. It may be used concurrently.
type conditionTracker struct {
	hold time.Duration // before an end; 0 for conditionHold

	mu   sync.Mutex
	open map[string]*openCondition
}

type openCondition struct {
	Condition
	lastOn time.Time
}

func (t *conditionTracker) setBeginnings(on []Condition, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range on {
		on[i].Since = now.UTC()
		if open := t.open[on[i].Code]; open != nil {
			on[i].Since = open.Since
		}
	}
}

// update takes the conditions that are on, and returns those that began and ended.
func (t *conditionTracker) update(on []Condition, now time.Time) (began, ended []Condition) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open = make(map[string]*openCondition)
	}
	for _, c := range on {
		open := t.open[c.Code]
		if open == nil {
			open = new(openCondition)
			t.open[c.Code] = open
			c.Since = now.UTC()
			began = append(began, c)
		} else {
			c.Since = open.Since
		}
		open.Condition, open.lastOn = c, now
	}
	for _, code := range slices.Sorted(maps.Keys(t.open)) {
		if open := t.open[code]; now.Sub(open.lastOn) >= cmp.Or(t.hold, conditionHold) {
			ended = append(ended, open.Condition)
			delete(t.open, code)
		}
	}
	return began, ended
}

// announceConditions logs and publishes which conditions began and ended since
// the last call.
func (r *recorder) announceConditions(ctx context.Context) error {
	now := time.Now()
	began, ended := r.conditions.update(r.status().Conditions, now)
	var messages []outbox.Message
	for _, part := range []struct {
		state event.State
		list  []Condition
	}{{event.ConditionBegan, began}, {event.ConditionEnded, ended}} {
		for i := range part.list {
			c := &part.list[i]
			r.logCondition(c, part.state)
			r.audit.RecordCondition(c.Code, part.state, c.Failure, c.Problem)
			body := event.NodeCondition{Code: c.Code, State: part.state, Problem: c.Problem, Since: c.Since.Unix()}
			if r.onCondition != nil {
				complete := message.CompleteCondition(r.writer.Source.Node, body, c.Failure, now)
				r.onCondition(&complete)
			}
			if r.outbox != nil {
				messages = append(messages, r.writer.NodeCondition(body, c.Failure, now))
			}
		}
	}
	if len(messages) == 0 {
		return nil
	}
	r.numbers.Store(r.writer.Source.LastSequence())
	return r.publishMessages(ctx, messages)
}

func (r *recorder) logCondition(c *Condition, state event.State) {
	if state == event.ConditionEnded {
		r.log.Info("node condition ended", "code", c.Code, "problem", c.Problem, "since", c.Since)
		return
	}
	level := slog.LevelWarn
	if c.Failure {
		level = slog.LevelError
	}
	r.log.Log(context.Background(), level, "node condition began", "code", c.Code, "problem", c.Problem)
}
