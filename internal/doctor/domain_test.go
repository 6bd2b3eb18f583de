package doctor

import (
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

func TestDoctorSaysWhetherTheJetStreamDomainIsThere(t *testing.T) {
	for _, tt := range []struct {
		name, domain string
		level        Level
		what         string
	}{
		{"the server's own", "hub", Good, "the JetStream of the domain hub is there"},
		{"of a hub that is away", "", Failure, "no JetStream of the domain hub is there: messages wait on disk"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := host(t)
			l.NATS.ServerURL = natsServer(t, &server.Options{JetStream: true, JetStreamDomain: tt.domain, StoreDir: t.TempDir()})
			l.NATS.JetStreamDomain = "hub"
			all := examined(t.Context(), l)
			if list := of(all, "domain"); len(list) != 1 || list[0].Level != tt.level || !strings.HasPrefix(list[0].What, tt.what) {
				t.Errorf("%+v", list)
			}
			if others := of(all, "rights"); (len(others) > 0) != (tt.level == Good) {
				t.Errorf("%+v", others)
			}
		})
	}
}
