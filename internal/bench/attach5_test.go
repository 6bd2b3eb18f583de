package bench

import (
	"testing"
	"time"
)

func TestTheReportBesideWazuh5HasQuantilesAndHoldsWhatIsWrong(t *testing.T) {
	found := make(map[string]time.Duration)
	for i := range 101 {
		found[string(rune('a'+i))] = time.Duration(20+i) * time.Second
	}
	r := Attach5Report{}
	r.fillDelays(found)
	if r.LostMin != 20 || r.LostP50 != 70 || r.LostP90 != 110 || r.LostP99 != 119 || r.LostMax != 120 {
		t.Errorf("%+v", r)
	}
	if err := r.Err(); err != nil {
		t.Error(err)
	}
	for _, wrong := range []Attach5Report{{Missed: 1}, {False: 1}, {Requests5: 1}, {Syncs: 1}} {
		if wrong.Err() == nil {
			t.Errorf("%+v is taken for right", wrong)
		}
	}
	r.fillDelays(nil) // none was found
}
