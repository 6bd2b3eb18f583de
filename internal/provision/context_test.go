package provision_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/provision"
)

// The server has a domain, so that a request to another domain's JetStream has no answer.
func TestStreamsAreMadeInTheDomainOfAContext(t *testing.T) {
	cfg := requestedConfig(t)
	if _, err := provision.New(cfg); err != nil {
		t.Fatal(err)
	}
	opts, err := server.ProcessConfigFile(filepath.Join(cfg.Dir, "server/nats-server.conf"))
	if err != nil {
		t.Fatal(err)
	}
	opts.NoSigs, opts.NoLog, opts.TLSTimeout, opts.AuthTimeout, opts.JetStreamDomain = true, true, 20, 20, "hub"
	srv, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(patience) {
		t.Fatal("the server is not ready")
	}
	st, err := provision.Open(cfg.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	admin := st.RemoteConfig("")
	write := func(domain string) string {
		text, err := json.Marshal(map[string]string{"url": admin.URL, "creds": admin.CredentialsFile, "ca": admin.CA, "jetstream_domain": domain})
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "context.json")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	brief, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond) // nobody answers there
	defer cancel()
	if made, err := st.ApplyIn(brief, write("elsewhere")); err == nil {
		t.Errorf("made in another domain: %v", made)
	}
	made, err := st.ApplyIn(patient(t), write("hub"))
	if err != nil || len(made) == 0 || slices.ContainsFunc(made, func(m provision.Made) bool { return !m.New && strings.HasPrefix(m.What, "stream") }) {
		t.Fatal(made, err)
	}
	nc, err := nats.Connect(admin.URL, nats.UserCredentials(admin.CredentialsFile), nats.RootCAs(admin.CA))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Stream(patient(t), "STATUS"); err != nil {
		t.Error(err)
	}
}
