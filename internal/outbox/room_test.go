package outbox

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
)

// telemetryState returns what TELEMETRY holds.
func telemetryState(t *testing.T, o *Outbox) jetstream.StreamState {
	t.Helper()
	info, err := o.streams[Telemetry].Info(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	return info.State
}

func TestTelemetryIsNeverLargerThanItsLimitAndLittleSmaller(t *testing.T) {
	const limit = 3 << 20
	o := mustOpen(t, Config{TelemetryLimit: limit})
	for part := range slices.Chunk(largeMessages(Telemetry, 100), 7) {
		before := telemetryState(t, o)
		mustPublish(t, o, part)
		s := telemetryState(t, o)
		if s.Bytes > limit || before.Bytes > limit*3/4 && s.Bytes < limit/2 {
			t.Errorf("%d bytes, %d before", s.Bytes, before.Bytes)
		}
		if int64(s.Bytes) > o.room.stored {
			t.Errorf("%d bytes count as %d", s.Bytes, o.room.stored)
		}
	}
	if s := telemetryState(t, o); s.LastSeq != 100 || s.Msgs != s.LastSeq-s.FirstSeq+1 {
		t.Errorf("%+v", s)
	}
}

func TestOneMessageThatIsLargerThanTheLimitIsStoredAlone(t *testing.T) {
	o := mustOpen(t, Config{TelemetryLimit: 50_000})
	mustPublish(t, o, largeMessages(Telemetry, 3))
	if s := telemetryState(t, o); s.Msgs != 1 || s.LastSeq != 3 {
		t.Errorf("%+v", s)
	}
}

// The size that is counted is never less than what the server counts, or the stream would grow.
func TestTheSizeOfAStoredMessageIsBounded(t *testing.T) {
	o := mustOpen(t, Config{TelemetryLimit: 1 << 30})
	msgs := messages(Telemetry, 1, 50)
	for i := range msgs {
		msgs[i].ContentType, msgs[i].Signature = "application/json", "abc"
		msgs[i].CloudEvent = &CloudEvent{ID: "1", Source: "b", Type: "c", Subject: "d", Time: "e"}
	}
	mustPublish(t, o, msgs)
	if s := telemetryState(t, o); int64(s.Bytes) > o.room.stored || o.room.stored > int64(s.Bytes)+50*messageOverhead {
		t.Errorf("%d bytes count as %d", s.Bytes, o.room.stored)
	}
}

func TestALowerLimitAppliesWhenMoreIsPublished(t *testing.T) {
	dir := t.TempDir()
	o := mustOpen(t, Config{Dir: dir})
	mustPublish(t, o, largeMessages(Telemetry, 40))
	mustClose(t, o)
	o = mustOpen(t, Config{Dir: dir, TelemetryLimit: 1 << 20})
	more := largeMessages(Telemetry, 41)[40:]
	mustPublish(t, o, more)
	if s := telemetryState(t, o); s.Bytes > 1<<20 || s.LastSeq != 41 || s.Msgs < 5 {
		t.Errorf("%+v", s)
	}
}

// A version before had the server remove the oldest messages.
func TestAStreamWithALimitOfTheServersIsTakenOver(t *testing.T) {
	dir := t.TempDir()
	o := mustOpen(t, Config{Dir: dir})
	before := streamConfig(o.cfg, Telemetry)
	before.MaxMsgsPerSubject, before.MaxBytes = -1, 5<<20
	if err := o.js.DeleteStream(testContext(t), before.Name); err != nil {
		t.Fatal(err)
	}
	var err error
	if o.streams[Telemetry], err = o.js.CreateStream(testContext(t), before); err != nil {
		t.Fatal(err)
	}
	msgs := largeMessages(Telemetry, 62)
	mustPublish(t, o, msgs[:60]) // of which it drops the first
	mustClose(t, o)

	o = mustOpen(t, Config{Dir: dir, TelemetryLimit: 5 << 20})
	kept := telemetryState(t, o)
	mustPublish(t, o, msgs[60:])
	s := telemetryState(t, o)
	if kept.Msgs < 45 || s.LastSeq != kept.LastSeq+2 || s.Bytes > 5<<20 || s.Msgs < kept.Msgs-15 {
		t.Errorf("%+v, then %+v", kept, s)
	}
	if left := testsupport.WaitForStored(t, o.js, "TELEMETRY", 1); left[len(left)-1] != msgs[61].ID {
		t.Errorf("the last is %s", left[len(left)-1])
	}
	info, err := o.streams[Telemetry].Info(testContext(t))
	if err != nil || info.Config.MaxBytes != -1 || info.Config.MaxMsgsPerSubject != unlimitedPerSubject {
		t.Errorf("%+v, %v", info.Config, err)
	}
}

// unpurgeableStream is a stream whose messages cannot be removed.
type unpurgeableStream struct{ jetstream.Stream }

func (unpurgeableStream) Purge(context.Context, ...jetstream.StreamPurgeOpt) error {
	return errors.New("not now")
}

func TestTelemetryIsStoredThoughTheOldestCannotBeRemoved(t *testing.T) {
	book, log := newTestLog()
	o := mustOpen(t, Config{TelemetryLimit: 500_000, Log: log})
	o.room.stream = unpurgeableStream{o.room.stream}
	msgs := largeMessages(Telemetry, 20)
	for part := range slices.Chunk(msgs[:10], 2) {
		mustPublish(t, o, part)
	}
	if s := telemetryState(t, o); s.Msgs != 10 || strings.Count(book.String(), "cannot be removed") != 1 {
		t.Errorf("%+v\n%s", s, book)
	}
	o.room.stream = o.streams[Telemetry]
	mustPublish(t, o, msgs[10:])
	if s := telemetryState(t, o); s.Bytes > 500_000 || s.LastSeq != 20 {
		t.Errorf("%+v", s)
	}
}
