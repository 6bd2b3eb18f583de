package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/testport"
)

// unitSettings are the values of a name in the unit that the packages install.
func unitSettings(t *testing.T, name string) (values []string) {
	t.Helper()
	text, err := os.ReadFile("../../deploy/systemd/pulse.service")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+"="); ok {
			values = append(values, strings.Fields(value)...)
		}
	}
	return values
}

func exitCode(t *testing.T, err error) int {
	t.Helper()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		t.Fatalf("it ended with %v", err)
	}
	return exit.ExitCode()
}

// The unit names the exit codes after which the service manager does not start Pulse
// again: that of a mistake in the settings, and none that a crash has.
func TestPulseIsStartedAgainAfterACrashAndNotAfterAMistakeInTheSettings(t *testing.T) {
	t.Parallel()
	prevented := unitSettings(t, "RestartPreventExitStatus")
	if !slices.Equal(prevented, []string{strconv.Itoa(exitSettings)}) || !slices.Equal(unitSettings(t, "Restart"), []string{"on-failure"}) {
		t.Fatalf("the unit prevents a restart after %q", prevented)
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "pulse.conf")
	run := func(text string) *exec.Cmd {
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return exec.Command("pulse", "run", "-c", conf)
	}
	if code := exitCode(t, run("<ossec_config><pulse><htpp>off</htpp></pulse></ossec_config>").Run()); code != exitSettings {
		t.Errorf("exit code %d after a mistake in the settings, want %d", code, exitSettings)
	}

	keys := filepath.Join(dir, "client.keys")
	if err := os.WriteFile(keys, []byte("001 web any 0123\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, signal := range []syscall.Signal{syscall.SIGABRT, syscall.SIGQUIT} {
		ready := filepath.Join(dir, "ready-"+signal.String())
		cmd := run(`<ossec_config><remote><port>` + strconv.Itoa(testport.Free(t)) + `</port><local_ip>127.0.0.1</local_ip></remote><nats><enabled>no</enabled></nats>
			<pulse><link>listen</link><state_dir>` + filepath.Join(dir, "state") + `</state_dir><client_keys>` + keys + `</client_keys><http></http></pulse></ossec_config>`)
		log, err := os.Create(ready)
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stderr = log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		awaitText(t, ready, "pulse runs")
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if code := exitCode(t, cmd.Wait()); code == exitOK || slices.Contains(prevented, strconv.Itoa(code)) {
			t.Errorf("exit code %d after %s, after which nobody starts it again", code, signal)
		}
		_ = log.Close()
	}
}

// systemctl reload sends the signal by which the daemon reads its settings again, as
// cmd/pulse/testdata plays it.
func TestTheUnitReloadsBySIGHUP(t *testing.T) {
	if got := unitSettings(t, "ExecReload"); !slices.Equal(got, []string{"/bin/kill", "-HUP", "$MAINPID"}) {
		t.Errorf("ExecReload=%q", got)
	}
}

// awaitText waits until a file that a process writes has a text in it.
func awaitText(t *testing.T, path, text string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(got), text) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %q in %s", text, got)
		}
	}
}
