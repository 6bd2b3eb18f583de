package doctor

import (
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/lastwill"
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
