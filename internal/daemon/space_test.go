package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A node that finds in its state directory that the disk was filling during the last day says when it is full.
func TestADiskThatFillsIsACondition(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	if err := os.MkdirAll(cfg.Pulse.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	// Far above what a disk has, so that the sample of the start goes on with it.
	var samples []byte
	now := time.Now()
	for i := range 20 {
		samples = fmt.Appendf(samples, "%d %d\n", now.Add(time.Duration(i-20)*time.Hour).Unix(), int64(40-i)<<50)
	}
	if err := os.WriteFile(filepath.Join(cfg.Pulse.StateDir, "space"), samples, 0o600); err != nil {
		t.Fatal(err)
	}
	h := startTestNode(t, cfg)
	s := h.node.Status()
	if !strings.Contains(strings.Join(s.Health.Warnings, " "), "GB free, and is full on ") {
		t.Errorf("%+v", s.Health)
	}
	if m := h.node.readMetrics(); m.DiskFree <= 0 {
		t.Errorf("%d bytes free", m.DiskFree)
	}
}
