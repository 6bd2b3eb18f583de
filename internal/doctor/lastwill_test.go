package doctor

import (
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/lastwill"
	"github.com/wazuh-pulse/pulse/internal/natsserver"
	"github.com/wazuh-pulse/pulse/internal/provision"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
)

func TestDoctorSaysWhetherTheServerCanAnnounceALossOfThisNode(t *testing.T) {
	plain := func(node string) jetstream.StreamConfig { // as an older server makes it
		return jetstream.StreamConfig{Name: lastwill.StreamName(node), Subjects: []string{lastwill.Subject(node)}}
	}
	for _, tt := range []struct {
		name   string
		stream func(node string) jetstream.StreamConfig
		level  Level
		what   string
	}{
		{"its stream", lastwill.StreamConfig, Good, "the NATS server announces a loss of this node"},
		{"no stream", nil, Warning, "the NATS server has no stream PULSE_WILLS_"},
		{"no schedules", plain, Warning, "the NATS server schedules no messages in the stream PULSE_WILLS_"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := host(t)
			l.NATS.ServerURL = natsServer(t, &server.Options{JetStream: true, StoreDir: t.TempDir()})
			if tt.stream != nil {
				_, js := testsupport.ConnectNATS(t, l.NATS.ServerURL)
				if _, err := js.CreateStream(t.Context(), tt.stream(l.Pulse.NodeName)); err != nil {
					t.Fatal(err)
				}
			}
			list := of(examined(t.Context(), l), "last will")
			if len(list) != 1 || list[0].Level != tt.level || !strings.Contains(list[0].What, tt.what) || tt.level == Warning && list[0].Hint == "" {
				t.Errorf("%+v", list)
			}
		})
	}
}

func TestDoctorSaysWhetherThisPulseCanRunTheServerOfItsCluster(t *testing.T) {
	t.Parallel()
	l := host(t)
	l.NATS.ServerURL, l.NATS.ServerConfig = "tls://127.0.0.1:1", filepath.Join(t.TempDir(), "nats-server.conf")
	for text, level := range map[string]Level{"": Failure, "listen: [": Failure} {
		write(t, l.NATS.ServerConfig, text)
		if list := of(examined(t.Context(), l), "NATS"); len(list) != 1 || list[0].Level != level || list[0].Hint == "" {
			t.Errorf("%q: %+v", text, list)
		}
	}
	cfg := provision.Config{Dir: filepath.Join(t.TempDir(), "nats"), Operator: "Example", Prefix: "wazuh.xdr", Hosts: []string{"127.0.0.1"}, Port: 4222, Replicas: 1,
		Nodes: []string{"node01"}, Cluster: "main", Hub: "node01"}
	cfg.ServerDir = filepath.Join(cfg.Dir, "server")
	if _, err := provision.New(cfg); err != nil {
		t.Fatal(err)
	}
	l.NATS.ServerConfig = filepath.Join(cfg.ServerDir, "nats-server.conf")
	if list := of(examined(t.Context(), l), "NATS"); len(list) != 1 || list[0].Level != Note {
		t.Errorf("%+v", list)
	}
}

// A server of the cluster that cannot listen says so at once, and before it is started.
func TestATakenPortOfTheClustersServerIsFound(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	cfg := provision.Config{Dir: filepath.Join(t.TempDir(), "nats"), Operator: "Example", Prefix: "wazuh.xdr", Hosts: []string{"127.0.0.1"}, Port: port, Replicas: 1,
		Nodes: []string{"node01"}, Cluster: "main", Hub: "node01"}
	cfg.ServerDir = filepath.Join(cfg.Dir, "server")
	if _, err := provision.New(cfg); err != nil {
		t.Fatal(err)
	}
	l := host(t)
	l.NATS.ServerURL, l.NATS.ServerConfig = fmt.Sprintf("tls://127.0.0.1:%d", port), filepath.Join(cfg.ServerDir, "nats-server.conf")
	list := of(examined(t.Context(), l), "port")
	if !slices.ContainsFunc(list, func(f Finding) bool {
		return f.Level == Failure && strings.Contains(f.What, fmt.Sprintf("0.0.0.0:%d/tcp (<nats><server_config>) is taken", port))
	}) {
		t.Errorf("%+v", list)
	}
	began := time.Now()
	if h, err := natsserver.StartHub(l.NATS.ServerConfig, slog.New(slog.DiscardHandler)); err == nil {
		h.Stop()
		t.Error("it is started")
	} else if !strings.Contains(err.Error(), "address already in use") || strings.Contains(err.Error(), "store in") || time.Since(began) > 30*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
}
