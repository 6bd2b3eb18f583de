package history

import (
	"reflect"
	"testing"
	"time"
	"unique"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"github.com/wazuh-pulse/pulse/internal/detector"
)

var compareEvents = cmp.Comparer(func(a, b unique.Handle[detector.Info]) bool { return a == b })

// lossEvent is an event with all that the loss of an agent has but the probe of its host.
func lossEvent(at time.Time) Event {
	return Event{Kind: Change, At: at, Known: at.Add(time.Millisecond), ID: 7, Name: "web", IP: "10.0.0.1", Node: "b", From: detector.Active,
		To: detector.Disconnected, Reason: detector.MissedKeepAlives, Missed: 3, LastSeen: at.Add(-time.Minute), Outage: true, Silenced: true,
		Info: unique.Make(detector.Info{}), Evidence: detector.Evidence{Closed: true, SilentFor: time.Minute, Host: 1}}
}

func TestWhatManyEventsHaveIsPacked(t *testing.T) {
	now := time.Now().Round(0)
	for _, e := range []Event{{}, {ID: 3, To: detector.Active, At: now}, lossEvent(now), lossEvent(now.UTC())} {
		if p := packEvent(&e); p.whole != nil {
			t.Errorf("%+v is kept whole", e)
		}
	}
	if size := unsafe.Sizeof(packedEvent{}); size > 104 {
		t.Errorf("an event has %d bytes", size)
	}
}

// Each field of an event comes back, also those that are not packed.
func TestEveryFieldOfAnEventIsKept(t *testing.T) {
	base := lossEvent(time.Now().Round(0))
	changed := []Event{base}
	eachField(reflect.ValueOf(base), nil, func(path []int, f reflect.Value) {
		e := base
		setOther(t, reflect.ValueOf(&e).Elem().FieldByIndex(path))
		changed = append(changed, e)
	})
	changed = append(changed, Event{At: time.Date(1, 2, 3, 0, 0, 0, 0, time.UTC)}, Event{At: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}, Event{Missed: 1 << 20}, Event{Missed: -1})
	h := newHistory(100, 1<<20)
	h.RestoreEvents(changed)
	got, _, _ := h.EventsAfter(0, 100)
	for i := range changed {
		changed[i].Seq = uint64(i + 1)
	}
	if diff := cmp.Diff(changed, got, compareEvents); diff != "" || len(got) < 25 {
		t.Errorf("%d events: %s", len(got), diff)
	}
}

// eachField calls f with each field, those of embedded structs included.
func eachField(v reflect.Value, path []int, f func([]int, reflect.Value)) {
	for i := range v.NumField() {
		at := append(append([]int(nil), path...), i)
		if v.Type().Field(i).Anonymous {
			eachField(v.Field(i), at, f)
			continue
		}
		f(at, v.Field(i))
	}
}

// setOther gives a field a value that it does not have.
func setOther(t *testing.T, v reflect.Value) {
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Unix(1, 5)))
		return
	case unique.Handle[detector.Info]:
		v.SetZero()
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	default:
		switch {
		case v.CanInt():
			v.SetInt(v.Int() + 1)
		case v.CanUint():
			v.SetUint(v.Uint() + 1)
		default:
			t.Fatalf("a field of type %v is new: set it to another value here", v.Type())
		}
	}
}

func TestAFullHistoryAllocatesNothingForAnotherEvent(t *testing.T) {
	h := newHistory(ringChunk+1, 1<<20)
	e := lossEvent(time.Now())
	for range 3 * ringChunk {
		h.addEvent(e)
	}
	if n := testing.AllocsPerRun(100, func() { h.addEvent(e) }); n > 0 || len(h.events.chunks) != 2 || len(h.events.chunks[1]) != 1 {
		t.Errorf("%v allocations, %d chunks", n, len(h.events.chunks))
	}
	if all := h.LatestEvents(2 * ringChunk); len(all) != ringChunk+1 || all[ringChunk].Seq != all[0].Seq-ringChunk {
		t.Errorf("%d events", len(all))
	}
}

func BenchmarkEvents(b *testing.B) {
	h := New()
	now := time.Now().Round(0)
	e := lossEvent(now)
	for b.Loop() {
		e.ID++
		h.addEvent(e)
	}
	b.ReportMetric(float64(unsafe.Sizeof(packedEvent{})), "B/event")
}

func BenchmarkEventsOfAnAgent(b *testing.B) {
	h := New()
	e := lossEvent(time.Now().Round(0))
	for range maxEvents {
		e.ID++
		h.addEvent(e)
	}
	for b.Loop() {
		h.EventsOf(3, 10)
	}
}
