package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/streamfiles"
)

// Within these the server drops a message whose ID it has stored already. It
// remembers each ID for that long, in memory: 2 min of TELEMETRY from a million
// agents would be 4 million of them, so there only a retry's span is kept.
const (
	statusDuplicates    = 2 * time.Minute
	telemetryDuplicates = 15 * time.Second
)

// unlimitedPerSubject is more than a subject will ever have. With a limit of that kind, and no
// other, the server stores a stream in files of 4 MiB instead of 8, of which it has the last one
// in memory.
const unlimitedPerSubject = 1 << 40

func streamConfig(cfg Config, c Class) jetstream.StreamConfig {
	s := jetstream.StreamConfig{Name: c.String(), Storage: jetstream.FileStorage, AllowDirect: true, MaxMsgsPerSubject: unlimitedPerSubject}
	if c == Status {
		s.Subjects, s.Duplicates = []string{cfg.Prefix + ".agent.*.status_change", cfg.Prefix + ".alerts.>"}, statusDuplicates
		return s
	}
	s.Subjects, s.Duplicates = []string{cfg.Prefix + ".manager.>"}, telemetryDuplicates
	return s
}

// openStreams makes the streams, or brings existing ones up to the settings: a
// new prefix or limit. Stored messages stay, under the subjects they have.
func (o *Outbox) openStreams(ctx context.Context) error {
	for c := range Class(classes) {
		stream, err := o.openStream(ctx, streamConfig(o.cfg, c))
		if err != nil {
			return err
		}
		o.streams[c] = stream
		o.last[c] = stream.CachedInfo().State.LastSeq
	}
	o.room = streamRoom{stream: o.streams[Telemetry], limit: max(o.cfg.TelemetryLimit, 0), stored: int64(o.streams[Telemetry].CachedInfo().State.Bytes)}
	o.status = streamfiles.NewSyncer(o.cfg.Dir, Status.String())
	if err := o.status.SyncSettings(); err != nil {
		return err
	}
	return o.countLost(o.streams[Status].CachedInfo().State)
}

// openStream opens a stream. TELEMETRY begins empty when it cannot be opened: that does not keep
// Pulse from starting.
func (o *Outbox) openStream(ctx context.Context, cfg jetstream.StreamConfig) (stream jetstream.Stream, err error) {
	dir := streamfiles.Dir(o.cfg.Dir, cfg.Name)
	if o.held.Removed(cfg.Name) {
		err = errors.New("the embedded server cannot open it, and its log says why")
	} else {
		stream, err = o.js.CreateOrUpdateStream(ctx, cfg)
	}
	if err == nil {
		return stream, nil
	}
	err = fmt.Errorf("open stream %s in %s: %w", cfg.Name, dir, err)
	switch {
	case ctx.Err() != nil:
		return nil, err
	case cfg.Name == Status.String():
		return nil, fmt.Errorf("%w; its files are as they were: to begin with an empty one, move that directory away, and keep it, since it holds what was not confirmed yet", err)
	}
	damaged, setAsideErr := o.held.SetAside(cfg.Name)
	if setAsideErr != nil {
		return nil, setAsideErr
	}
	stream, again := o.js.CreateOrUpdateStream(ctx, cfg)
	if again != nil {
		return nil, err
	}
	o.log.Error("a stream could not be opened: it begins empty", "stream", cfg.Name, "kept_in", damaged, "err", err)
	return stream, nil
}

// statusGapsFile has how many messages of STATUS are missing, damaged or trimmed.
const statusGapsFile = "STATUS.gaps"

// countLost compares what STATUS holds with what it held when this was last
// looked at, and after the last message since. What is removed from it is counted before.
func (o *Outbox) countLost(now jetstream.StreamState) error {
	end, gaps := cursorFor(o.cfg.Dir, "STATUS.end"), cursorFor(o.cfg.Dir, statusGapsFile)
	last, err := end.loadSequence()
	had, gapsErr := gaps.loadSequence()
	missing := now.LastSeq - now.Msgs
	switch err := errors.Join(err, gapsErr); {
	case errors.Is(err, errDamaged):
		o.log.Warn("how much was stored is not known: a loss cannot be detected", "err", err)
	case err != nil:
		return err
	default:
		o.lost = missing - min(had, missing) + last - min(last, now.LastSeq)
	}
	if o.lost > 0 {
		o.log.Error("stored messages are lost", "stream", Status.String(), "lost", o.lost, "left", now.Msgs)
	}
	if err := gaps.saveSequence(missing); err != nil {
		return err
	}
	if err := end.saveSequence(now.LastSeq); err != nil {
		return err
	}
	o.statusEnd = newPosition(end, now.LastSeq, o.log)
	return nil
}
