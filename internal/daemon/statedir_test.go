package daemon

import (
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/config"
)

func TestASecondPulseIsKeptOutOfAStateDirectory(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*config.Config){
		"with all of it":             func(*config.Config) {},
		"without NATS and audit log": func(cfg *config.Config) { cfg.NATS.Enabled, cfg.NATS.AuditLogging = false, false },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := testSettings(t)
			change(cfg)
			if Running(cfg) {
				t.Error("one runs before it is started")
			}
			h := startTestNode(t, cfg)
			if !Running(cfg) {
				t.Error("it does not run")
			}
			second := *cfg
			second.NATS.Listen, second.Pulse.HTTP = "127.0.0.1:0", "127.0.0.1:0"
			n, err := Open(t.Context(), &second, "1.2.3", slog.New(slog.DiscardHandler))
			if n != nil || err == nil || !strings.Contains(err.Error(), cfg.Pulse.StateDir+": another Pulse is using it") {
				t.Errorf("%v", err)
			}
			if err := h.stop(); err != nil {
				t.Fatal(err)
			}
			if Running(cfg) {
				t.Error("it runs after its end")
			}
		})
	}
}

func TestAStateDirectoryThatOthersMayChangeIsRefused(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	if err := os.MkdirAll(cfg.Pulse.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(cfg.Pulse.StateDir, 0o770); err != nil {
		t.Fatal(err)
	}
	n, err := Open(t.Context(), cfg, "1.2.3", slog.New(slog.DiscardHandler))
	if n != nil || err == nil || !strings.Contains(err.Error(), "can be changed by others (mode 0770): chmod go-w") {
		t.Error(err)
	}
}

func TestAStateDirectoryOfAnotherUserIsNamed(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root may give a directory away")
	}
	cfg := testSettings(t)
	if err := os.MkdirAll(cfg.Pulse.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(cfg.Pulse.StateDir, 12345, 0); err != nil {
		t.Fatal(err)
	}
	h := startTestNode(t, cfg)
	h.log.await(t, "the state directory is not as it should be", 1)
	if s := h.node.Status(); len(s.Health.Warnings) != 1 || !strings.Contains(s.Health.Warnings[0], "belongs to uid 12345") {
		t.Errorf("%+v", s.Health)
	}
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
}

// The clock was wrong once, and is right again; or many starts came in a second.
func TestADeletedEpochFileIsNoStepBack(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		remove  []string
		content string
		change  func(*config.Config)
	}{
		"the file":                    {remove: []string{"epoch"}},
		"the file and the audit log":  {remove: []string{"epoch", "audit"}},
		"the file and the messages":   {remove: []string{"epoch", "outbox"}},
		"the file, without NATS":      {remove: []string{"epoch"}, change: func(cfg *config.Config) { cfg.NATS.Enabled = false }},
		"an old file in its place":    {content: "1"},
		"the file, with names hidden": {remove: []string{"epoch", "audit"}, change: func(cfg *config.Config) { cfg.Pulse.NodeName = "node-1-2" }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := testSettings(t)
			if tt.change != nil {
				tt.change(cfg)
			}
			ahead := uint64(time.Now().Add(time.Hour).Unix())
			path := filepath.Join(cfg.Pulse.StateDir, "epoch")
			if err := os.MkdirAll(cfg.Pulse.StateDir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, strconv.AppendUint(nil, ahead, 10), 0o600); err != nil {
				t.Fatal(err)
			}
			h := startTestNode(t, cfg)
			once := h.node.Status().Epoch
			if once <= ahead {
				t.Fatalf("epoch %d, want more than %d", once, ahead)
			}
			if err := h.stop(); err != nil {
				t.Fatal(err)
			}
			for _, name := range tt.remove {
				if err := os.RemoveAll(filepath.Join(cfg.Pulse.StateDir, name)); err != nil {
					t.Fatal(err)
				}
			}
			if tt.content != "" {
				if err := os.WriteFile(path, []byte(tt.content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			h = startTestNode(t, cfg)
			now := h.node.Status().Epoch
			if said := h.node.Status().Health.Failures; len(said) != 1 || !strings.Contains(said[0], "is ahead of its clock by ") {
				t.Errorf("%v", said)
			}
			if now <= once {
				t.Errorf("epoch %d after %d", now, once)
			}
			if err := h.stop(); err != nil {
				t.Fatal(err)
			}
			if text, err := os.ReadFile(path); err != nil || strings.TrimSpace(string(text)) != strconv.FormatUint(now, 10) {
				t.Errorf("%s, %v, want %d", text, err, now)
			}
		})
	}
}
