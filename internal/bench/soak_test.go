package bench

import (
	"math"
	"math/rand/v2"
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

// samplesOf returns the states after n rounds of 100 s, of which each fills in one.
func samplesOf(n int, fill func(round int, s *soakState)) (samples []soakState) {
	for i := range n {
		s := soakState{At: time.Unix(0, 0).Add(time.Duration(i) * 100 * time.Second), Resident: 90 << 20, Heap: 40 << 20, Goroutines: 84, Files: 8022}
		fill(i, &s)
		samples = append(samples, s)
	}
	return samples
}

func TestWhatGrowsInASoakIsReported(t *testing.T) {
	var r SoakReport
	r.fillGrowth(samplesOf(16, func(i int, s *soakState) { s.Resident, s.Files = int64(50+i*5)<<20, 1000+50*i }))
	r.Missing, r.FalseLosses = 3, 2
	err := r.Err()
	if err == nil {
		t.Fatal("growth is no error")
	}
	for _, want := range []string{"memory of the process grew from", "open files grew from 1300 to 1700, by 1800 an hour", "reported as lost: 2", "never came: 3"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "goroutines") {
		t.Errorf("%v: the goroutines did not grow", err)
	}
}

// A figure moves by a tenth between two rounds, with the kinds of rounds.
func TestASlowLeakIsFoundInTwoHoursAndNoiseIsNone(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	noise := func(i int, s *soakState) {
		s.Resident += int64(random.IntN(9<<20)) + int64(i%otherRounds)<<20
		s.Heap += int64(random.IntN(2 << 20))
		s.Goroutines += random.IntN(9)
		s.Files += random.IntN(40)
		if i < 18 { // what is made in the first quarter
			s.Resident -= int64(18-i) << 20
		}
		if i%29 == 28 {
			s.Resident += 60 << 20
		}
	}
	for play := range 50 {
		var r SoakReport
		if r.fillGrowth(samplesOf(72, noise)); !r.Judged || len(r.Grew) > 0 {
			t.Errorf("play %d: nothing grows: %v, %q", play, r.Judged, r.Grew)
		}
		r = SoakReport{}
		r.fillGrowth(samplesOf(72, func(i int, s *soakState) {
			noise(i, s)
			s.Resident += int64(i) << 20 / 5 // 7.2 MiB an hour
			s.Heap += int64(i) << 20 / 20
			s.Goroutines += i / 4
			s.Files += i
		}))
		if len(r.Grew) != 4 {
			t.Errorf("play %d: found is only %q", play, r.Grew)
		}
	}
}

func TestASoakOfFewRoundsJudgesNothing(t *testing.T) {
	var r SoakReport
	r.fillGrowth(samplesOf(minRounds-1, func(i int, s *soakState) { s.Files += 1000 * i }))
	if r.Judged || r.Err() != nil {
		t.Errorf("judged %v: %v", r.Judged, r.Err())
	}
	r.fillGrowth(samplesOf(minRounds, func(i int, s *soakState) { s.Files += 1000 * i }))
	if !r.Judged || r.Err() == nil {
		t.Errorf("judged %v: %v", r.Judged, r.Err())
	}
}

func TestATrendIsTheMedianSlopeAndItsDistanceFromChance(t *testing.T) {
	times := []float64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
	for _, tt := range []struct {
		name   string
		values []float64
		slope  float64
		score  float64
	}{
		{"none", nil, 0, 0},
		{"all the same", []float64{7, 7, 7, 7, 7, 7, 7, 7, 7, 7}, 0, 0},
		{"ascends", []float64{0, 2, 4, 6, 8, 10, 12, 14, 16, 18}, 2, 3.935},
		{"descends", []float64{18, 16, 14, 12, 10, 8, 6, 4, 2, 0}, -2, -3.935},
		{"with one far away", []float64{0, 2, 4, 6, 8, 1000, 12, 14, 16, 18}, 2, 3.220},
		{"a step", []float64{0, 0, 0, 0, 0, 1, 1, 1, 1, 1}, 0.125, 2.507},
	} {
		if got := findTrend(times[:len(tt.values)], tt.values); math.Abs(got.slope-tt.slope) > 0.001 || math.Abs(got.score-tt.score) > 0.001 {
			t.Errorf("%s: %+v, want %v and %v", tt.name, got, tt.slope, tt.score)
		}
	}
}
