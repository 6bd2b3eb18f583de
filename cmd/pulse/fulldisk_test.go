package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/audit"
	"github.com/wazuh-pulse/pulse/internal/audittrail"
	"github.com/wazuh-pulse/pulse/internal/testport"
)

// fullDisk is a Pulse whose state directory is a small disk of its own, in a mount
// namespace of its own.
type fullDisk struct {
	*testing.T
	cmd    *exec.Cmd
	dir    string
	health string // URL
	output bytes.Buffer
}

func startOnFullDisk(t *testing.T) *fullDisk {
	t.Helper()
	d := &fullDisk{T: t, dir: t.TempDir()}
	agents, web := testport.Free(t), testport.Free(t)
	d.health = fmt.Sprintf("http://127.0.0.1:%d/healthz", web)
	conf := fmt.Sprintf(`<ossec_config><remote><port>%d</port><local_ip>127.0.0.1</local_ip></remote><nats><enabled>no</enabled></nats>
<pulse><link>listen</link><client_keys>%s/client.keys</client_keys><state_dir>%s/state</state_dir><http>127.0.0.1:%d</http></pulse></ossec_config>`, agents, d.dir, d.dir, web)
	program, err := os.Executable()
	if err == nil {
		err = os.Symlink(program, filepath.Join(d.dir, "pulse"))
	}
	for name, text := range map[string]string{"pulse.conf": conf, "client.keys": "001 web any 1111111111111111\n"} {
		if err == nil {
			err = os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o600)
		}
	}
	if err == nil {
		err = os.Mkdir(filepath.Join(d.dir, "state"), 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	d.cmd = exec.Command("/bin/sh", "-c", "mount -t tmpfs -o mode=0700,size=256k tmpfs state || exit 99; cat /dev/zero >state/filler 2>/dev/null; exec ./pulse run -c pulse.conf")
	d.cmd.Dir, d.cmd.Env = d.dir, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + d.dir, "TMPDIR=" + d.dir}
	d.cmd.Stdout, d.cmd.Stderr = &d.output, &d.output
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if err := d.cmd.Start(); err != nil {
		t.Skipf("a mount namespace: %v", err)
	}
	t.Cleanup(func() { _ = d.cmd.Process.Kill(); _ = d.cmd.Wait() }) // unless it has ended
	return d
}

// state is a path in the state directory, which nobody else sees.
func (d *fullDisk) state(name string) string {
	return filepath.Join("/proc", fmt.Sprint(d.cmd.Process.Pid), "root", d.dir, "state", name)
}

// awaitHealth waits until /healthz answers with a code, and with some words.
func (d *fullDisk) awaitHealth(code int, words string) {
	d.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	last := ""
	for deadline := time.Now().Add(2 * patience); time.Now().Before(deadline); <-tick.C {
		answer, err := http.Get(d.health)
		if err != nil {
			if syscall.Kill(d.cmd.Process.Pid, 0) != nil {
				break
			}
			continue
		}
		text, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if last = answer.Status + " " + string(text); answer.StatusCode == code && strings.Contains(last, words) {
			return
		}
	}
	_ = d.cmd.Process.Kill()
	_ = d.cmd.Wait()
	if d.cmd.ProcessState.ExitCode() == 99 {
		d.Skip("a disk of its own cannot be mounted here")
	}
	d.Fatalf("health is %q, want %d %q; %v\n%s", last, code, words, d.cmd.ProcessState, &d.output)
}

func (d *fullDisk) fill() {
	f, err := os.Create(d.state("filler"))
	if err != nil {
		d.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	_ = f.Close()
}

func (d *fullDisk) makeRoom() {
	if err := os.Remove(d.state("filler")); err != nil {
		d.Fatal(err)
	}
}

// enrol has the audit log say who was added: more than fits behind what it has.
func (d *fullDisk) enrol(n int) {
	var keys bytes.Buffer
	for i := range n {
		fmt.Fprintf(&keys, "%03d web-%d any 1111111111111111\n", i+1, i+1)
	}
	if err := os.WriteFile(filepath.Join(d.dir, "client.keys"), keys.Bytes(), 0o600); err != nil {
		d.Fatal(err)
	}
}

// The disk is full when Pulse starts, has room, is full again, and has room.
func TestAFullDiskNeitherEndsPulseNorKeepsItFromStarting(t *testing.T) {
	t.Parallel()
	d := startOnFullDisk(t)
	d.awaitHealth(http.StatusServiceUnavailable, "files of the state directory cannot be written")
	d.awaitHealth(http.StatusServiceUnavailable, "the audit log cannot be written")
	d.makeRoom()
	d.awaitHealth(http.StatusOK, "")
	d.fill()
	d.enrol(1500)
	d.awaitHealth(http.StatusServiceUnavailable, "the audit log cannot be written")
	d.makeRoom()
	d.awaitHealth(http.StatusOK, "")
	keys, err := audit.ReadKeys(audittrail.PublicKeysPath(d.state("")))
	if err != nil {
		t.Fatal(err)
	}
	if c, err := audit.Verify(audittrail.Dir(d.state("")), audit.Check{Key: keys}); err != nil || c.First != 1 || c.Missing != 0 || !c.Live {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := os.Stat(d.state("epoch")); err != nil {
		t.Error(err)
	}
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, &d.output)
	}
}
