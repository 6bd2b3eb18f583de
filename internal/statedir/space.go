package statedir

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wazuh-pulse/pulse/internal/atomicfile"
)

const (
	// spaceFile has the samples of a [Space], a line each: Unix time and free bytes.
	spaceFile = "space"
	// spacePeriod is the time between two samples, and spaceWindow how far back they reach.
	spacePeriod = 10 * time.Minute
	spaceWindow = 24 * time.Hour
	// spaceLeast is how long samples have to reach back for a forecast.
	spaceLeast = time.Hour
	// spaceAhead is how many times as far a forecast reaches as its samples, and spaceFarthest its limit: a day of samples
	// is good for a month.
	spaceAhead    = 30
	spaceFarthest = 30 * 24 * time.Hour

	spaceFileMax = 1 << 16
)

// Space has how much of the state directory's disk was free during the last day, and so when it will be full. It is kept
// in the directory over restarts. Its methods may be called concurrently.
type Space struct {
	dir string

	mu      sync.Mutex
	samples []spaceSample
}

type spaceSample struct {
	at   time.Time
	free int64
}

// OpenSpace returns what was sampled of a directory's disk before.
func OpenSpace(dir string) *Space {
	s := &Space{dir: dir}
	text, err := os.ReadFile(filepath.Join(dir, spaceFile))
	if err != nil || len(text) > spaceFileMax {
		return s // it is sampled anew
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		var at, free int64
		if _, err := fmt.Sscanf(lines.Text(), "%d %d", &at, &free); err == nil && free >= 0 {
			s.samples = append(s.samples, spaceSample{time.Unix(at, 0), free})
		}
	}
	return s
}

// FreeSpace returns how many bytes of a directory's disk this process may use.
func FreeSpace(dir string) (int64, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return 0, err
	}
	return int64(fs.Bavail) * fs.Bsize, nil
}

// Sample adds how much is free at a time, if the last sample is old enough, and returns how much that is.
func (s *Space) Sample(now time.Time) (free int64, err error) {
	if free, err = FreeSpace(s.dir); err != nil {
		return 0, err
	}
	if s.addSample(now, free) {
		_ = s.save() // without it, a restart begins anew
	}
	return free, nil
}

// addSample adds a sample unless the last one is too new. A clock that was set back begins anew.
func (s *Space) addSample(now time.Time, free int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.samples); n > 0 {
		switch since := now.Sub(s.samples[n-1].at); {
		case since < 0:
			s.samples = nil
		case since < spacePeriod:
			return false
		}
	}
	s.samples = slices.DeleteFunc(s.samples, func(old spaceSample) bool { return now.Sub(old.at) > spaceWindow })
	s.samples = append(s.samples, spaceSample{now, free})
	return true
}

func (s *Space) save() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var text []byte
	for _, one := range s.samples {
		text = fmt.Appendf(text, "%d %d\n", one.at.Unix(), one.free)
	}
	return atomicfile.Write(filepath.Join(s.dir, spaceFile), text, 0o600)
}

// FullAt returns when the disk will be full at the rate of the last day, which is the median of all pairs of samples: one
// large file, written or deleted once, does not change it. It returns false if the disk does not fill, or only after a
// time that is too far off to be known.
func (s *Space) FullAt(now time.Time) (at time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.samples)
	if n < 2 || now.Sub(s.samples[n-1].at) > spaceWindow {
		return at, false
	}
	first, last := s.samples[0], s.samples[n-1]
	span := last.at.Sub(first.at)
	if span < spaceLeast {
		return at, false
	}
	var rates []float64 // bytes a second
	for i := range s.samples {
		for j := i + 1; j < n; j++ {
			if d := s.samples[j].at.Sub(s.samples[i].at).Seconds(); d > 0 {
				rates = append(rates, float64(s.samples[j].free-s.samples[i].free)/d)
			}
		}
	}
	slices.Sort(rates)
	rate := rates[len(rates)/2]
	if rate >= 0 {
		return at, false
	}
	left := float64(last.free) / -rate
	if left > min(spaceAhead*span, spaceFarthest).Seconds() {
		return at, false
	}
	return last.at.Add(time.Duration(left * float64(time.Second))), true
}
