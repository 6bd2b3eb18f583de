package config

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var compareAddr = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

// read loads texts as if they were the files pulse.conf, second.conf.
func read(texts ...string) (*Loaded, error) {
	ld := newLoader()
	for i, text := range texts {
		ld.applyFile([]string{"pulse.conf", "second.conf"}[i], []byte(text))
	}
	return ld.finishLoading()
}

func mustRead(t *testing.T, texts ...string) *Loaded {
	t.Helper()
	l, err := read(texts...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestDefaultsAreTheDesigns(t *testing.T) {
	want := Config{
		Remote: Remote{Port: 1514, TCP: true, LocalIP: netip.MustParseAddr("0.0.0.0")},
		KeepAlive: KeepAlive{
			Enabled: true, Interval: time.Minute, Timeout: 3 * time.Minute, MaxMissed: 3,
			RetryInterval: 30 * time.Second, Method: "request", ReconnectGrace: 2 * time.Second,
			SuspectTimeout: 5 * time.Second, OutageShare: 30, OutageHold: time.Minute, FlapThreshold: 6, FlapWindow: 10 * time.Minute,
			HostProbe: true, HostProbePorts: []int{22, 135, 445},
			EscalateAfter: []time.Duration{time.Minute, time.Hour, day}, DormantAfter: 14 * day,
		},
		NATS: NATS{
			Enabled: true, Listen: "127.0.0.1:4222", SubjectPrefix: "wazuh.xdr", MaxReconnects: 10,
			ReconnectDelay: 5 * time.Second, RecipientsFile: "/var/ossec/etc/pulse-recipients.jwks",
			MessageSigning: true, KeepAliveEvents: "all", AuditLogging: true, AuditDetail: "summary", AuditLimit: 1 << 30, HighAlertThreshold: 8,
		},
		Pulse: Pulse{
			Link: "auto", Home: "/var/ossec", ClientKeys: "/var/ossec/etc/client.keys", StateDir: "/var/lib/pulse",
			NodeName: nodeNameOfHost(), HTTP: "127.0.0.1:8420", UpdateStatus: true, MaxInFlight: 128, VerifyCounters: true, LogLevel: "info", TelemetryLimit: 1 << 30, StatusLimit: 365 * 24 * time.Hour,
		},
	}
	if diff := cmp.Diff(want, Default(), compareAddr); diff != "" {
		t.Error(diff)
	}
}

func TestReferenceIsCompleteAndItsDefaultsParse(t *testing.T) {
	defaults := map[string]string{}
	for _, s := range table {
		defaults[rootElement+"/"+s.path] = s.def
	}
	paths := map[string]bool{}
	for _, s := range reference() {
		if paths[s.Path] {
			t.Errorf("%s is in the table twice", s.Path)
		}
		paths[s.Path] = true
		if s.Want == "" || s.Doc == "" || s.Doc[len(s.Doc)-1] != '.' {
			t.Errorf("%s is not documented: %+v", s.Path, s)
		}
		if s.Value != defaults[s.Path] || s.Source != "default" {
			t.Errorf("%s: default is written %q, printed %q from %s", s.Path, defaults[s.Path], s.Value, s.Source)
		}
		delete(defaults, s.Path)
	}
	if len(defaults) > 0 {
		t.Errorf("not in the reference: %v", defaults)
	}
}
