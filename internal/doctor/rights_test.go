package doctor

import (
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/wazuh-pulse/pulse/internal/statedir"
)

// serverOf returns a server with one user of a name, who may publish and subscribe to all but some subjects.
func serverOf(t *testing.T, user string, pubDeny, subDeny []string) string {
	return natsServer(t, &server.Options{JetStream: true, StoreDir: t.TempDir(), Users: []*server.User{{Username: user, Password: "hunter2",
		Permissions: &server.Permissions{Publish: &server.SubjectPermission{Deny: pubDeny}, Subscribe: &server.SubjectPermission{Deny: subDeny}}}}})
}

func TestWhatTheNodeMayNotDoOnTheServerIsNamed(t *testing.T) {
	for _, tt := range []struct {
		name, user       string
		pubDeny, subDeny []string
		level            Level
		what, hint       string
	}{
		{"all that it needs", "pulse", nil, nil, Note, "cannot write the bucket PULSE_AGENTS: no bucket; the node makes it, where it may", ""},
		{"no heartbeat", "pulse", []string{"wazuh.xdr.manager.status.*"}, nil, Failure,
			`cannot publish wazuh.xdr.manager.status.web: nats://`, "--renew web"},
		{"no status changes", "pulse", []string{"wazuh.xdr.agent.>"}, nil, Failure, "cannot publish wazuh.xdr.agent.000.status_change: ", "give that user the right"},
		{"no answers", "pulse", nil, []string{"_INBOX.>"}, Failure, "cannot receive answers: ", "give that user the right"},
		{"no bucket, and no right to make it", "pulse", []string{"$JS.API.STREAM.CREATE.>"}, nil, Failure,
			"cannot write the bucket PULSE_KEYS: there is none, and this user may not make it", "pulse provision DIR --apply"},
		{"no right to a bucket", "pulse", []string{"$KV.PULSE_AGENTS.>"}, nil, Failure, "cannot write the bucket PULSE_AGENTS: ", "give that user the right"},
		{"the login of another node", "web2", []string{"wazuh.xdr.manager.status.web", "$KV.PULSE_KEYS.web"}, []string{"_INBOX.web.>"}, Failure,
			"the login is that of web2, and this node is called web: ", "nodes/web; or give this node the name web2"},
		{"the login of a reader", "xdr", []string{"wazuh.xdr.>", "$KV.>"}, nil, Failure,
			`cannot publish anything that a node publishes: nats://`, "put the login of web in its place, as pulse provision has it in nodes/web"},
		{"the right login with another prefix", "web", []string{"wazuh.xdr.>"}, nil, Failure, "cannot publish anything that a node publishes: ", "set <subject_prefix> to the one"},
		{"a login of no node that lacks a right", "web2", []string{"wazuh.xdr.manager.status.*"}, nil, Failure, "cannot publish wazuh.xdr.manager.status.web: ", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := host(t)
			l.Pulse.NodeName, l.NATS.ServerURL = "web", serverOf(t, tt.user, tt.pubDeny, tt.subDeny)
			l.NATS.User, l.NATS.PasswordFile = tt.user, filepath.Join(t.TempDir(), "password")
			write(t, l.NATS.PasswordFile, "hunter2")
			list := of(examined(t.Context(), l), "rights")
			if !slices.ContainsFunc(list, func(f Finding) bool {
				return f.Level == tt.level && strings.HasPrefix(f.What, tt.what) && strings.Contains(f.Hint, tt.hint)
			}) {
				t.Errorf("%+v", list)
			}
		})
	}
}

// One finding has what is to be done, where six would say what the server refuses.
func TestALoginThatIsNoNodesIsOneFinding(t *testing.T) {
	l := host(t)
	l.Pulse.NodeName, l.NATS.ServerURL = "web", serverOf(t, "xdr", []string{"wazuh.xdr.>", "$KV.>"}, []string{"pulse.>"})
	l.NATS.User, l.NATS.PasswordFile = "xdr", filepath.Join(t.TempDir(), "password")
	write(t, l.NATS.PasswordFile, "hunter2")
	found := examined(t.Context(), l)
	if list := append(of(found, "rights"), of(found, "name")...); len(list) != 1 {
		t.Errorf("%+v", list)
	}
}

func TestALoginWithoutJetStreamWritesNoBuckets(t *testing.T) {
	l := host(t)
	l.Pulse.NodeName, l.NATS.ServerURL = "web", natsServer(t, &server.Options{})
	list := of(examined(t.Context(), l), "rights")
	if !slices.ContainsFunc(list, func(f Finding) bool {
		return f.Level == Note && strings.HasSuffix(f.What, "this login has no JetStream") && f.Hint != ""
	}) ||
		slices.ContainsFunc(list, func(f Finding) bool { return strings.Contains(f.What, "write its buckets") }) {
		t.Errorf("%+v", list)
	}
}

func TestANodeOfAClusterWithoutJetStreamIsWarnedOf(t *testing.T) {
	l := host(t)
	l.Pulse.NodeName, l.Pulse.Link, l.Cluster.Enabled, l.NATS.MessageSigning = "web", "listen", true, true
	l.NATS.ServerURL = natsServer(t, &server.Options{})
	if list := of(examined(t.Context(), l), "rights"); !slices.ContainsFunc(list, func(f Finding) bool {
		return f.Level == Warning && strings.Contains(f.What, "PULSE_CLUSTER: this login has no JetStream, and this node shares nothing") && f.Hint != ""
	}) {
		t.Errorf("%+v", list)
	}
}

// The port of the embedded server may be another program's though a Pulse runs.
func TestAPortOfTheEmbeddedServerThatIsTakenIsFoundBesideARunningPulse(t *testing.T) {
	l := host(t)
	lock, err := statedir.Open(l.Pulse.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	list := of(examined(t.Context(), l), "NATS")
	if len(list) != 1 || list[0].Level != Warning || !strings.Contains(list[0].What, "the Pulse that runs does not listen at") {
		t.Errorf("with the port free: %+v", list)
	}
	other, err := net.Listen("tcp", l.NATS.Listen)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	go func() {
		if conn, err := other.Accept(); err == nil {
			_, _ = conn.Write([]byte("SSH-2.0-x\r\n"))
			_ = conn.Close()
		}
	}()
	list = of(examined(t.Context(), l), "NATS")
	if len(list) != 1 || list[0].Level != Failure || !strings.Contains(list[0].What, "is taken by another program") || list[0].Hint == "" {
		t.Errorf("with the port taken: %+v", list)
	}
}
