package doctor

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestDoctorSaysWhetherAStreamTakesOCSFEvents(t *testing.T) {
	for _, tt := range []struct {
		name, subject, stream string
		level                 Level
		what                  string
	}{
		{"off", "", "", Good, ""},
		{"a stream", "ocsf.wazuh", "ocsf.>", Good, "a stream of the NATS server stores ocsf.wazuh.>"},
		{"none", "ocsf.wazuh", "", Failure, "the NATS server lists no stream that takes ocsf.wazuh.>"},
		{"another", "ocsf.wazuh", "ocsf.other.>", Failure, "the NATS server lists no stream that takes ocsf.wazuh.>"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := host(t)
			l.NATS.ServerURL = natsServer(t, &server.Options{JetStream: true, StoreDir: t.TempDir()})
			l.NATS.OCSFSubject = tt.subject
			if tt.stream != "" {
				nc, err := nats.Connect(l.NATS.ServerURL)
				if err != nil {
					t.Fatal(err)
				}
				defer nc.Close()
				js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "OCSF", Subjects: []string{tt.stream}}); err != nil {
					t.Fatal(err)
				}
			}
			list := of(examined(t.Context(), l), "OCSF")
			if tt.what == "" && len(list) != 0 || tt.what != "" && (len(list) != 1 || list[0].Level != tt.level || !strings.HasPrefix(list[0].What, tt.what)) {
				t.Errorf("%+v", list)
			}
		})
	}
}
