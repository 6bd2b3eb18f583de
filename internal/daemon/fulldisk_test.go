package daemon

import (
	"github.com/wazuh-pulse/pulse/internal/sealing"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/wazuh-pulse/pulse/internal/config"
)

// fullStateDir puts the state directory on a disk on which there is no room, nor an inode
// if there are none. It returns what makes room.
func fullStateDir(t *testing.T, cfg *config.Config, options string) (makeRoom func()) {
	t.Helper()
	dir := cfg.Pulse.StateDir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0700,"+options); err != nil {
		t.Skipf("mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	filler := filepath.Join(dir, "filler")
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
		if options == "nr_inodes=2" {
			break
		}
	}
	_ = f.Close()
	return func() {
		t.Helper()
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mount("", dir, "tmpfs", syscall.MS_REMOUNT, "size=64m,nr_inodes=10000"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestANodeStartsOnAFullDisk(t *testing.T) {
	for options, waiting := range map[string]string{"size=64k": "audit.json epoch (", "nr_inodes=2": "audit.json epoch lock ("} {
		t.Run(options, func(t *testing.T) {
			t.Parallel()
			cfg := testSettings(t)
			cfg.NATS.Enabled = false
			makeRoom := fullStateDir(t, cfg, options)
			h := startTestNode(t, cfg)
			h.startAgents(keyFile)
			h.log.await(t, "agent active", 3)
			h.awaitAnswer("/healthz", http.StatusServiceUnavailable, "files of the state directory cannot be written, and are lost if Pulse ends now: "+waiting)
			h.awaitAnswer("/healthz", http.StatusServiceUnavailable, "the audit log cannot be written since ")
			makeRoom()
			h.log.await(t, "a file of the state directory is written, for which there was no room", strings.Count(waiting, " "))
			h.log.await(t, "the audit log can be written again", 1)
			status := h.node.Status()
			if len(status.Health.Failures) > 0 {
				t.Errorf("%+v", status.Health)
			}
			if err := h.stop(); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(filepath.Join(cfg.Pulse.StateDir, "epoch"))
			if err != nil || strings.TrimSpace(string(text)) != strconv.FormatUint(status.Epoch, 10) {
				t.Errorf("%s, %v", text, err)
			}
			lines := trail(t, cfg)
			has(t, lines, "start", map[string]any{"epoch": float64(status.Epoch)})
			has(t, lines, "transition", map[string]any{"agent": "002", "to": "active"})
		})
	}
}

// The keys with which messages are signed and read are those that are written later.
func TestANodeThatMadeItsKeysOnAFullDiskKeepsThem(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	cfg.NATS.MessageSigning = true
	makeRoom := fullStateDir(t, cfg, "size=64k")
	store := outboxDir(cfg)
	if err := os.Mkdir(store, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", store, "tmpfs", 0, "mode=0700,size=256m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(store, 0); err != nil {
			t.Error(err)
		}
	})
	h := startTestNode(t, cfg)
	h.awaitAnswer("/healthz", http.StatusServiceUnavailable, "audit.json epoch signing.jwk, public.jwks (")
	signed := h.node.out.sealer.KeyFingerprint()
	makeRoom()
	h.log.await(t, "a file of the state directory is written, for which there was no room", 3)
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	files := sealing.KeyFiles(cfg)
	k, err := files.OpenSigning()
	if err != nil || k.ID() != signed {
		t.Errorf("%v, %v, want %s", k, err, signed)
	}
	trail(t, cfg)
}
