package report

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/wazuh-pulse/pulse/event"
)

// Logs of a cluster are copied to one place, and some of them twice.
func TestWhatIsInSeveralLogsCountsOnce(t *testing.T) {
	write := func(lines string) string {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "audit-000000000000001.jsonl"), []byte(lines), 0o600); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	log := func(node string, second int) string {
		line := func(seq, minute int, text string) string {
			return fmt.Sprintf(`{"seq":%d,"prev":"x","time":"2026-11-01T06:%02d:%02d.5Z",%s}`+"\n", seq, minute, second, text)
		}
		return line(1, 0, `"kind":"start","node":"`+node+`"`) +
			line(2, 10, `"kind":"transition","agent":"001","name":"web","from":"active","to":"disconnected","reason":"connection_lost","at":"2026-11-01T06:10:00Z","alert":true`) +
			line(3, 11, `"kind":"outage","at":"2026-11-01T06:11:00Z","lost":1,"watched":1`) +
			line(4, 20, `"kind":"transition","agent":"001","name":"web","from":"disconnected","to":"active","reason":"reconnected","at":"2026-11-01T06:20:00Z"`) +
			line(5, 50, `"kind":"checkpoint"`)
	}
	one := log("node01", 0)
	other := log("node02", 7)
	first := write(one)
	for name, tt := range map[string]struct {
		dirs []string
		want int
	}{
		"one":                              {[]string{first}, 1},
		"the same one again":               {[]string{first, first}, 1},
		"its copy, of an hour before":      {[]string{write(one[:len(one)/2]), first}, 1},
		"that of another node":             {[]string{first, write(other)}, 2},
		"of a node that lost its state":    {[]string{first, write(log("node01", 9))}, 2},
		"of both, and copies in any order": {[]string{write(other), first, write(other), first}, 2},
	} {
		b := NewBuilder(start, at(24))
		for _, dir := range tt.dirs {
			if err := b.ReadAuditLog(dir); err != nil {
				t.Fatal(err)
			}
		}
		r := b.Report(ByAgent)
		if r.Losses != tt.want || r.Alerts != tt.want || len(r.Outages) != tt.want || r.Reasons[event.ConnectionLost] != tt.want {
			t.Errorf("%s: %d losses, %d alerts, %d outages; want %d of each", name, r.Losses, r.Alerts, len(r.Outages), tt.want)
		}
	}
}
