package epoch

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTheEpochRisesWithEveryStart(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for _, c := range []struct {
		name, file string
		want       uint64
		bad        bool
	}{
		{"the first start", "", 1_800_000_000, false},
		{"a start long after", "1700000000\n", 1_800_000_000, false},
		{"a second start in the same second", "1800000000\n", 1_800_000_001, false},
		{"a clock that went back", "1900000000", 1_900_000_001, false},
		{"a torn file", "\n", 0, true},
		{"zeros, as after a power cut", "\x00\x00\x00\x00", 0, true},
		{"garbage", "now", 0, true},
		{"a negative number", "-1", 0, true},
		{"a number after which there is none", "18446744073709551615", 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "epoch")
			if c.file != "" {
				if err := os.WriteFile(path, []byte(c.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := next(dir, now)
			if c.bad {
				if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "delete the file") {
					t.Errorf("%d, %v", got, err)
				}
				return
			}
			if err != nil || got != c.want {
				t.Fatalf("%d, %v, want %d", got, err, c.want)
			}
			if again, err := next(dir, now); err != nil || again != c.want+1 {
				t.Errorf("the start after: %d, %v", again, err)
			}
			if files, err := fs.Glob(os.DirFS(dir), "*"); err != nil || len(files) != 1 {
				t.Errorf("files left: %v, %v", files, err)
			}
		})
	}
}

func TestAClockBeforeTheUnixEpochIsNoObstacle(t *testing.T) {
	if got, err := next(t.TempDir(), time.Unix(-5, 0)); err != nil || got != 1 {
		t.Errorf("%d, %v", got, err)
	}
}
