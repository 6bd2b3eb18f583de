package bench

import (
	"strings"
	"testing"
	"time"
)

func TestASoakFindsThatNothingIsLostAndNothingGrows(t *testing.T) {
	t.Parallel()
	pace := soakPace{ramp: time.Second, notify: time.Second, failing: time.Second, natsAway: 2 * time.Second, recover: 3 * time.Second, calm: 2 * time.Second, settle: time.Minute}
	// Two rounds: in the second one the NATS server is killed.
	r, err := RunSoak(t.Context(), SoakConfig{Agents: 10, For: pace.recover + pace.calm + time.Second, Progress: t.Output(), pace: pace})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Err(); err != nil {
		t.Error(err)
	}
	if r.Rounds != 2 || r.Outages != 1 || r.Failed != 2 || r.Strangers == 0 || r.Messages < 20 || r.ResidentNow == 0 || r.FilesNow < 10 {
		t.Errorf("not all was done or measured: %+v", r)
	}
}

func TestWhatGrowsInASoakIsReported(t *testing.T) {
	var r SoakReport
	var samples []soakState
	for i := range 16 {
		samples = append(samples, soakState{Resident: int64(50+i*5) << 20, Goroutines: 100, Files: 1000 + 50*i})
	}
	r.fillGrowth(samples)
	r.Missing, r.FalseLosses = 3, 2
	err := r.Err()
	if err == nil {
		t.Fatal("growth is no error")
	}
	for _, want := range []string{"memory of the process grew from", "open files grew from 1300 to 1700", "reported as lost: 2", "never came: 3"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "goroutines") {
		t.Errorf("%v: the goroutines did not grow", err)
	}
}
