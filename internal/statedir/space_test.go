package statedir

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

const gigabyte = 1 << 30

var spaceStart = time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)

// sampled is a disk's space of some hours, by a function of the time since its beginning.
func sampled(t *testing.T, hours int, free func(since time.Duration) int64) *Space {
	t.Helper()
	s := &Space{dir: t.TempDir()}
	for since := time.Duration(0); since <= time.Duration(hours)*time.Hour; since += spacePeriod {
		s.addSample(spaceStart.Add(since), free(since))
	}
	return s
}

func TestADiskThatFillsIsForecastByTheDateItIsFull(t *testing.T) {
	perHour := func(start, change int64) func(time.Duration) int64 {
		return func(since time.Duration) int64 { return start + int64(since.Hours()*float64(change)) }
	}
	for _, tt := range []struct {
		name  string
		hours int
		free  func(time.Duration) int64
		in    time.Duration // from the last sample; 0 for no forecast
	}{
		{"it fills in a day", 24, perHour(48*gigabyte, -gigabyte), 24 * time.Hour},
		{"it fills in four weeks", 24, perHour(24*29*gigabyte, -gigabyte), 28 * 24 * time.Hour},
		{"it fills in a year", 24, perHour(24*365*gigabyte, -gigabyte), 0},
		{"it does not fill", 24, perHour(gigabyte, 0), 0},
		{"it empties", 24, perHour(gigabyte, gigabyte), 0},
		{"too little is known", 0, perHour(gigabyte, -gigabyte), 0},
		{"an hour is known, and it fills in ten", 1, perHour(11*gigabyte, -gigabyte), 10 * time.Hour},
		{"an hour is known, and it fills in a week", 1, perHour(168*gigabyte, -gigabyte), 0},
		{"one large file was written", 24, func(since time.Duration) int64 {
			if since > 20*time.Hour {
				return 10 * gigabyte
			}
			return 100 * gigabyte
		}, 0},
		{"files that come and go, as a log's do", 24, func(since time.Duration) int64 { return 20*gigabyte - int64(since/spacePeriod)%6*gigabyte }, 0},
	} {
		s := sampled(t, tt.hours, tt.free)
		last := s.samples[len(s.samples)-1].at
		at, ok := s.FullAt(last)
		if ok != (tt.in > 0) || ok && (at.Sub(last)-tt.in).Abs() > time.Hour {
			t.Errorf("%s: %v, %v, want in %v", tt.name, at, ok, tt.in)
		}
		if _, ok := s.FullAt(last.Add(2 * spaceWindow)); ok {
			t.Errorf("%s: a forecast of old samples", tt.name)
		}
	}
}

func TestSamplesOfTheDiskAreKeptOverARestart(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	s := OpenSpace(dir)
	for i := range 12 {
		s.addSample(now.Add(time.Duration(i-12)*spacePeriod), int64(12-i)*gigabyte)
	}
	if free, err := s.Sample(now); err != nil || free <= 0 {
		t.Fatal(free, err)
	}
	again := OpenSpace(dir)
	if len(again.samples) != 13 || !again.samples[0].at.Equal(s.samples[0].at.Truncate(time.Second)) || again.samples[3].free != s.samples[3].free {
		t.Errorf("%d samples: %+v", len(again.samples), again.samples)
	}
	if _, err := s.Sample(now.Add(time.Minute)); err != nil || len(s.samples) != 13 {
		t.Errorf("%d samples a minute later, %v", len(s.samples), err)
	}
	if s.addSample(now.Add(-time.Hour), gigabyte); len(s.samples) != 1 {
		t.Errorf("%d samples after the clock was set back", len(s.samples))
	}
	for _, text := range []string{"", "x", "1 -5\n", "1 2 3\n9999999999999999999999 1\n"} {
		if err := os.WriteFile(filepath.Join(dir, spaceFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, ok := OpenSpace(dir).FullAt(now); ok {
			t.Errorf("a forecast from %q", text)
		}
	}
}
