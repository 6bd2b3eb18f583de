package main

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// The bound is wide for a loaded machine: what hangs is waited for by requests for 15 s.
func TestCompletionDoesNotWaitForADaemonThatHangs(t *testing.T) {
	t.Parallel()
	hangs, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hangs.Close()
	settings := filepath.Join(t.TempDir(), "pulse.conf")
	if err := os.WriteFile(settings, []byte("<ossec_config><pulse><http>"+hangs.Addr().String()+"</http></pulse></ossec_config>"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	began := time.Now()
	if err := (&completeCommand{Kind: "agents", Words: []string{"agent", "-c", settings, "0"}}).Run(&env{ctx: t.Context(), stdout: &out, stderr: os.Stderr}); err != nil || out.Len() > 0 {
		t.Errorf("%v, %q", err, &out)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestTheSettingsOfACommandLineThatIsCompletedAreFound(t *testing.T) {
	got := settingsFiles([]string{"agent", "-c", "a", "--config=b", "--config", "=", "c", "--node", "d", "-c"})
	if want := []string{"a", "b", "c"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
