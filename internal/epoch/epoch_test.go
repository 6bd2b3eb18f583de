package epoch

import (
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestTheEpochRisesWithEveryStart(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for _, c := range []struct {
		name, file string
		want       uint64
	}{
		{"the first start", "", 1_800_000_000},
		{"a start long after", "1700000000\n", 1_800_000_000},
		{"a second start in the same second", "1800000000\n", 1_800_000_001},
		{"a clock that went back", "1900000000", 1_900_000_001},
		{"a torn file", "\n", 1_800_000_000},
		{"zeros, as after a power cut", "\x00\x00\x00\x00", 1_800_000_000},
		{"garbage", "now", 1_800_000_000},
		{"a negative number", "-1", 1_800_000_000},
		{"a number after which there is none", "18446744073709551615", 1_800_000_000},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "epoch")
			if c.file != "" {
				if err := os.WriteFile(path, []byte(c.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := next(dir, now, slog.Default())
			if err != nil || got != c.want {
				t.Fatalf("%d, %v, want %d", got, err, c.want)
			}
			if again, err := next(dir, now, slog.Default()); err != nil || again != c.want+1 {
				t.Errorf("the start after: %d, %v", again, err)
			}
			if files, err := fs.Glob(os.DirFS(dir), "*"); err != nil || len(files) != 1 {
				t.Errorf("files left: %v, %v", files, err)
			}
		})
	}
}

func TestAClockBeforeTheUnixEpochIsNoObstacle(t *testing.T) {
	if got, err := next(t.TempDir(), time.Unix(-5, 0), slog.Default()); err != nil || got != 1 {
		t.Errorf("%d, %v", got, err)
	}
}
