package report

import (
	"bytes"
	"context"
	"fmt"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/event"
)

// busyDay returns a report of a day on which everything happened that a report has.
func busyDay() *Report {
	b := newDay()
	var fleet []Agent
	for i := 1; i <= 12; i++ {
		id := fmt.Sprintf("%03d", i)
		fleet = append(fleet, Agent{ID: id, Name: "host-" + id, IP: "10.0.0.1", Node: "node01", Status: event.Active})
		for n := range i % 4 {
			b.AddChange(lost(id, float64(i+n*3), []event.Reason{event.ConnectionLost, event.KeepAliveTimeout, event.AgentShutdown}[i%3]))
			b.AddAlert(at(float64(i + n*3)))
			if id != "011" || n < 2 {
				b.AddChange(back(id, float64(i+n*3)+0.1*float64(i)))
			}
		}
	}
	b.BeginOutage("node01", at(4), 6, 12)
	b.EndOutage("node01", at(4.5), 8)
	b.SetExpected([]string{"host-001", "host-099"})
	b.SetPresent(append(fleet, Agent{ID: "013", Name: "new-013", Status: event.NeverConnected}))
	return b.Report(ByAgent)
}

// The page is drawn by a browser, for people to look at in dist/screenshots.
func TestThePageOfAReportIsDrawn(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser takes its time: not with -short")
	}
	browser, err := exec.LookPath("chromium")
	if err != nil {
		if browser, err = exec.LookPath("google-chrome"); err != nil {
			t.Skip("no Chromium on this machine: apt-get install chromium")
		}
	}
	var page bytes.Buffer
	if err := busyDay().WriteHTML(&page); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(file, page.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	dir, err := filepath.Abs("../../dist/screenshots")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]string{"report": "1100,1500", "report-phone": "500,1500"} { // no window is narrower than 500
		out := filepath.Join(dir, name+".png")
		os.Remove(out)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--user-data-dir="+t.TempDir(),
			"--screenshot="+out, "--window-size="+size, "file://"+file)
		cmd.WaitDelay = time.Second
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		data, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		img, err := png.Decode(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		// Something is on it, over its whole height but the end.
		back, rows := img.At(0, 0), 0
		for y := range img.Bounds().Dy() {
			for x := range img.Bounds().Dx() {
				if img.At(x, y) != back {
					rows++
					break
				}
			}
		}
		if rows < 300 {
			t.Errorf("%s: %d rows are not empty", out, rows)
		}
	}
}
