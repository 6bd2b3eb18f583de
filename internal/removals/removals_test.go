package removals

import (
	"testing"
	"time"
)

func TestOneReadingThatLosesALargePartIsDoubtful(t *testing.T) {
	for _, tt := range []struct {
		lost, known int
		damaged     bool
		want        bool
	}{
		{0, 60, true, false}, {0, 0, false, false}, {1, 1, false, true}, {1, 60, false, false}, {1, 60, true, true},
		{4, 8, false, false}, {5, 20, false, true}, {5, 21, false, false}, {15, 60, false, true}, {14, 60, false, false}, {60, 60, false, true},
	} {
		var h History
		if got := h.Doubtful(tt.lost, tt.known, tt.damaged, time.Now()); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}

func TestAFleetThatVanishesLittleByLittleIsDoubtful(t *testing.T) {
	var h History
	now, known := time.Unix(1716897300, 0), 60
	for reading := 0; ; reading++ {
		lost := max(known*15/100, 1)
		if h.Doubtful(lost, known, false, now) {
			break
		}
		if reading == 2 {
			t.Fatalf("%d of 60 agents are left", known)
		}
		h.Record(lost, now)
		known -= lost
		now = now.Add(2500 * time.Millisecond)
	}
	if known < 60*3/4 {
		t.Errorf("%d of 60 agents are left", known)
	}
	if h.Doubtful(1, known, false, now.Add(window)) {
		t.Error("a removal counts for ever")
	}
}
