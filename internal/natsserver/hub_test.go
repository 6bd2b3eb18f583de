package natsserver

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A configuration that a node is to run for others lets nobody in without a login.
func TestAClustersServerThatLetsEverybodyInIsRefused(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"nothing":          "",
		"no users":         `listen: "127.0.0.1:-1"`,
		"no configuration": `listen: [`,
		"a password":       "listen: \"127.0.0.1:-1\"\nauthorization { user: a, password: b }",
	} {
		path := filepath.Join(t.TempDir(), "nats-server.conf")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if h, err := StartHub(path, slog.New(slog.DiscardHandler)); err == nil {
			h.Stop()
			t.Errorf("%s: it is started", name)
		} else if !strings.Contains(err.Error(), "the cluster's NATS server") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := StartHub(filepath.Join(t.TempDir(), "absent"), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a file that is not there is used")
	}
}
