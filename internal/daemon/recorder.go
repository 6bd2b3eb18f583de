package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/audittrail"
	"github.com/wazuh-pulse/pulse/internal/message"
	"github.com/wazuh-pulse/pulse/internal/outbox"
	"github.com/wazuh-pulse/pulse/internal/sealing"
	"github.com/wazuh-pulse/pulse/internal/statedir"
)

// recorder publishes what the detector decided, and the node's heartbeat.
type recorder struct {
	writer     *message.Writer
	started    time.Time
	backlog    *backlog
	outbox     *outbox.Outbox // nil: only the journal tells
	status     func() Status
	dropped    atomic.Uint64 // keep-alive events that publishing did not keep up with
	numbers    atomic.Uint64 // the sequence of the last message
	journal    *journal
	audit      *audittrail.Trail
	sealer     *sealing.Sealer // nil as is outbox
	pending    *statedir.PendingWrites
	conditions conditionTracker
	log        *slog.Logger
}

// routinePeriod is for how long records of keep-alives may wait to be published
// together, which costs a third of what it costs one by one. Their time is told by
// the second.
const routinePeriod = time.Second

// run publishes until the backlog is closed and empty, group by group, so that
// the heartbeat goes on in a storm; one more heartbeat is the node's last
// message. When ctx ends, it gives up what it has not published.
func (r *recorder) run(ctx context.Context) error {
	beat := time.NewTicker(event.HeartbeatInterval)
	defer beat.Stop()
	routine := time.NewTicker(routinePeriod)
	defer routine.Stop()
	defer r.journal.catchUp()
	if err := r.beat(ctx); err != nil {
		return err
	}
	for {
		select {
		case <-beat.C:
			r.journal.catchUp()
			if err := r.beat(ctx); err != nil {
				return err
			}
		case <-routine.C:
			r.audit.RecordKeepAliveSums()
			r.pending.Retry()
			if err := r.announceConditions(ctx); err != nil {
				return err
			}
			if err := r.record(ctx); err != nil {
				return err
			}
		case <-r.backlog.ready:
			if err := r.record(ctx); err != nil {
				return err
			}
			if r.backlog.done() {
				r.audit.Sync() // the last heartbeat tells how far the log is
				return r.beat(ctx)
			}
		}
	}
}

// record publishes the next group of what waits.
func (r *recorder) record(ctx context.Context) error {
	defer func() { r.numbers.Store(r.writer.Source.LastSequence()) }()
	records, dropped := r.backlog.take()
	if dropped > 0 {
		r.dropped.Add(uint64(dropped))
		r.log.Error("keep-alive events dropped: publishing does not keep up", "dropped", dropped)
	}
	if len(records) == 0 {
		return nil
	}
	return r.publish(ctx, records)
}

// send seals messages and publishes them, in their order.
func (r *recorder) send(ctx context.Context, messages []outbox.Message) error {
	if err := r.sealer.SealMessages(messages); err != nil {
		return err
	}
	return r.outbox.Publish(ctx, messages)
}

func (r *recorder) beat(ctx context.Context) error {
	if r.outbox == nil {
		return nil
	}
	status := r.status()
	if a := status.Link.Attach; a != nil {
		r.audit.RecordManagerProblem(a.Problem)
	}
	defer func() { r.numbers.Store(r.writer.Source.LastSequence()) }()
	return r.send(ctx, []outbox.Message{r.writer.Heartbeat(status.message())})
}

// publish publishes a group of records. What is no routine is numbered first, as
// it is published first: so the numbers rise in the order of publication.
func (r *recorder) publish(ctx context.Context, group []message.Record) error {
	var messages []outbox.Message
	for i := range group {
		r.audit.RecordDecision(&group[i])
		if !group[i].Verdict.IsRoutine() {
			r.journal.note(&group[i].Decision)
			messages = r.writer.AppendRecord(messages, &group[i])
		}
	}
	if r.outbox == nil {
		return nil
	}
	for i := range group {
		if group[i].Verdict.IsRoutine() {
			messages = r.writer.AppendRecord(messages, &group[i])
		}
	}
	if err := r.send(ctx, messages); err != nil {
		r.audit.RecordUnpublished(len(messages), err)
		return fmt.Errorf("record %d decisions: %w", len(group), err)
	}
	return nil
}
