package doctor

import (
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestDoctorSaysWhetherAnythingConfirmsStatusChanges(t *testing.T) {
	withStream := func(t *testing.T, url string) {
		nc, err := nats.Connect(url)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "XDR", Subjects: []string{"wazuh.xdr.>"}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name           string
		stream, stored bool
		level          Level
		what           string
	}{
		{"a stream", true, false, Good, "a stream of the NATS server stores wazuh.xdr.agent.*.status_change"},
		{"none, and none before", false, false, Warning, "nothing confirms status changes"},
		{"none, and one before", false, true, Warning, "they wait on disk"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := host(t)
			l.NATS.ServerURL = natsServer(t, &server.Options{JetStream: true, StoreDir: t.TempDir()})
			if tt.stream {
				withStream(t, l.NATS.ServerURL)
			}
			if tt.stored {
				dir := filepath.Join(l.Pulse.StateDir, "outbox")
				if err := os.MkdirAll(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				body := "wazuh.xdr.>\n"
				write(t, filepath.Join(dir, "stored"), fmt.Sprintf("%s%08x\n", body, crc32.ChecksumIEEE([]byte(body))))
			}
			list := of(examined(t.Context(), l), "status changes")
			if len(list) != 1 || list[0].Level != tt.level || !strings.Contains(list[0].What, tt.what) || tt.level == Warning && list[0].Hint == "" {
				t.Errorf("%+v", list)
			}
		})
	}
}
