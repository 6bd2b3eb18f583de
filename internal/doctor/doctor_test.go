package doctor

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsserver "github.com/nats-io/nats-server/v2/test"
	"go.uber.org/goleak"

	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/hostprobe"
	"github.com/wazuh-pulse/pulse/internal/managersim"
	"github.com/wazuh-pulse/pulse/internal/presence"
	"github.com/wazuh-pulse/pulse/internal/remote"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
	"github.com/wazuh-pulse/pulse/internal/wazuhrules"
)

// The server that a test has ended waits some seconds more for the answer of a stream's source.
func TestMain(m *testing.M) {
	testsupport.RunInParallel(8) // they mostly wait
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*stream).trySetupSourceConsumer.func3"))
}

// host is one on which all is well, as far as a test can say.
func host(t *testing.T) *config.Loaded {
	t.Helper()
	dir := t.TempDir()
	conf := filepath.Join(dir, "pulse.conf")
	write(t, conf, "<ossec_config></ossec_config>")
	loaded, err := config.Load(conf)
	if err != nil {
		t.Fatal(err)
	}
	p := &loaded.Pulse
	p.Home, p.ClientKeys, p.StateDir, p.HTTP = dir, filepath.Join(dir, "client.keys"), filepath.Join(dir, "state"), free(t)
	write(t, p.ClientKeys, "001 web any 11111111111111111111111111111111\n")
	if err := os.Mkdir(p.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	agents := netip.MustParseAddrPort(free(t))
	loaded.Remote.LocalIP, loaded.Remote.Port = agents.Addr(), int(agents.Port())
	loaded.NATS.Listen = free(t)
	loaded.Pulse.TelemetryLimit = 1 << 20
	return loaded
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func examined(ctx context.Context, loaded *config.Loaded) (list []Finding) {
	Examine(ctx, loaded, func(f Finding) { list = append(list, f) })
	return list
}

// of returns the findings of one check.
func of(list []Finding, check string) []Finding {
	return slices.DeleteFunc(slices.Clone(list), func(f Finding) bool { return f.Check != check })
}

func TestAHostThatIsReadyHasNoFailures(t *testing.T) {
	list := examined(t.Context(), host(t))
	for _, f := range list {
		if f.Level == Failure {
			t.Errorf("%+v", f)
		}
	}
	for _, check := range []string{"settings", "user", "client.keys", "state directory", "disk", "open files", "port", "host probe", "NATS", "clock"} {
		if len(of(list, check)) == 0 {
			t.Errorf("nothing about %s", check)
		}
	}
}

func TestEachTroubleIsNamedWithItsWayOut(t *testing.T) {
	for _, tt := range []struct {
		name         string
		trouble      func(t *testing.T, l *config.Loaded)
		check        string
		level        Level
		what, wayOut string // what they contain
	}{
		{"hosts are not asked", func(t *testing.T, l *config.Loaded) { l.KeepAlive.HostProbe = false },
			"host probe", Note, "off", ""},
		{"no keys", func(t *testing.T, l *config.Loaded) { l.Pulse.ClientKeys += ".gone" },
			"settings", Failure, "no such file", "set <home>"},
		{"a broken line of keys", func(t *testing.T, l *config.Loaded) { write(t, l.Pulse.ClientKeys, "001 web any\n") },
			"client.keys", Warning, "line 1: ", "correct the line"},
		{"another broken line of keys", func(t *testing.T, l *config.Loaded) { write(t, l.Pulse.ClientKeys, "001 web any\n\nx\n") },
			"client.keys", Warning, "line 3: ", "correct the line"},
		{"settings that nobody reads", func(t *testing.T, l *config.Loaded) {
			write(t, filepath.Join(l.Pulse.Home, "pulse-nats.conf"), "<ossec_config><nats><server_url>nats://a</server_url></nats></ossec_config>")
		}, "settings", Warning, "/pulse-nats.conf has settings of Pulse, and is not read", "/pulse.d"},
		{"a server of its own that no other host reaches", func(*testing.T, *config.Loaded) {}, "NATS", Warning, "clients on other hosts do not reach it", "<server_url>"},
		{"a state directory that others may read", func(t *testing.T, l *config.Loaded) {
			if err := os.Chmod(l.Pulse.StateDir, 0o755); err != nil {
				t.Fatal(err)
			}
		}, "state directory", Warning, "mode 0755", "chmod 0700 "},
		{"a state directory that is a file", func(t *testing.T, l *config.Loaded) { l.Pulse.StateDir = l.Pulse.ClientKeys },
			"state directory", Failure, "no directory", "<state_dir>"},
		{"no state directory yet", func(t *testing.T, l *config.Loaded) { l.Pulse.StateDir += "/later" },
			"state directory", Note, "not there yet", "StateDirectory="},
		{"a signing key that others may read", func(t *testing.T, l *config.Loaded) {
			key := filepath.Join(l.Pulse.StateDir, "signing.jwk")
			write(t, key, "{}")
			if err := os.Chmod(key, 0o640); err != nil {
				t.Fatal(err)
			}
		}, "keys", Failure, "signing.jwk: others may read or change it (mode 0640)", "chown pulse:pulse"},
		{"a key of the audit log that is none", func(t *testing.T, l *config.Loaded) {
			write(t, filepath.Join(l.Pulse.StateDir, "audit.jwk"), "{}")
		}, "keys", Failure, "audit.jwk: not a private Ed25519 JWK", "Pulse makes another"},
		{"little room", func(t *testing.T, l *config.Loaded) { l.Pulse.TelemetryLimit = 1 << 50 },
			"disk", Warning, "may be needed", "<telemetry_limit>"},
		{"a disk that fills", func(t *testing.T, l *config.Loaded) {
			var samples []byte
			for i := range 24 {
				samples = fmt.Appendf(samples, "%d %d\n", time.Now().Add(time.Duration(i-24)*time.Hour).Unix(), int64(40-i)<<30)
			}
			write(t, filepath.Join(l.Pulse.StateDir, "space"), string(samples))
		}, "disk", Warning, " is full on 20", "<status_limit>"},
		{"a port that is taken", func(t *testing.T, l *config.Loaded) { l.Pulse.HTTP = taken(t) },
			"port", Failure, "(<pulse><http>) is taken", "set another port"},
		{"an address of another host", func(t *testing.T, l *config.Loaded) { l.NATS.Listen = "192.0.2.1:4222" },
			"port", Failure, "(<nats><listen>) is no address of this host", "another"},
		{"a NATS server that is not there", func(t *testing.T, l *config.Loaded) { l.NATS.ServerURL = "nats://" + free(t) },
			"NATS", Failure, "nothing listens", ""},
		{"a NATS server that wants a login", func(t *testing.T, l *config.Loaded) {
			l.NATS.ServerURL = natsServer(t, &server.Options{Username: "pulse", Password: "secret"})
		}, "NATS", Failure, "login", "<credentials_file>"},
		{"no NATS", func(t *testing.T, l *config.Loaded) { l.NATS.Enabled = false }, "NATS", Note, "off", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := host(t)
			tt.trouble(t, l)
			list := of(examined(t.Context(), l), tt.check)
			if !slices.ContainsFunc(list, func(f Finding) bool {
				return f.Level == tt.level && strings.Contains(f.What, tt.what) && strings.Contains(f.Hint, tt.wayOut)
			}) {
				t.Errorf("%+v", list)
			}
		})
	}
}

// stock is a host with a stock manager.
func stock(t *testing.T) (*config.Loaded, *managersim.Manager) {
	t.Helper()
	l := host(t)
	dir, err := os.MkdirTemp("", "m") // short enough for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	key := clientkeys.Key{ID: "001", Name: "web", Secret: "11111111111111111111111111111111"}
	m, err := managersim.Start(managersim.Config{Home: dir, Keys: []clientkeys.Key{key}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	l.Pulse.Home, l.Pulse.Link = dir, "auto"
	return l, m
}

func TestWhatPulseDoesNotFollowOfTheManagersSettingsIsSaid(t *testing.T) {
	l, m := stock(t)
	file := filepath.Join(m.Home(), "etc/ossec.conf")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	second := "<ossec_config><remote><connection>secure</connection><port>1520</port><ipv6>yes</ipv6></remote></ossec_config>\n"
	if err := os.WriteFile(file, append(text, second+second...), 0o600); err != nil {
		t.Fatal(err)
	}
	list := of(examined(t.Context(), l), "manager")
	for _, want := range []string{"more than one <remote>", "has <ipv6>"} {
		if !slices.ContainsFunc(list, func(f Finding) bool { return f.Level == Warning && strings.Contains(f.What, want) }) {
			t.Errorf("no warning of %s in %+v", want, list)
		}
	}
}

func TestBesideAManagerItsSocketsAreTried(t *testing.T) {
	l, m := stock(t)
	list := of(examined(t.Context(), l), "manager")
	for i, want := range []string{"wazuh-db: 1 agent at ", "wazuh-remoted: answers at ", "wazuh-analysisd: listens at "} {
		if len(list) != 3 || list[i].Level != Good || !strings.HasPrefix(list[i].What, want) {
			t.Fatalf("%+v", list)
		}
	}
	m.StopRemoted()
	m.StopDB()
	list = of(examined(t.Context(), l), "manager")
	for i, want := range []string{"wazuh-db is not running", "wazuh-remoted is not running"} {
		if list[i].Level != Failure || !strings.HasPrefix(list[i].What, want) || !strings.Contains(list[i].Hint, "systemctl start wazuh-manager") {
			t.Errorf("%+v", list[i])
		}
	}
}

func TestWhetherTheManagerHasRulesForPulsesEventsIsSaid(t *testing.T) {
	l, m := stock(t)
	check := func(level Level, what, hint string) {
		t.Helper()
		list := of(examined(t.Context(), l), "rules")
		if len(list) != 1 || list[0].Level != level || !strings.Contains(list[0].What, what) || !strings.Contains(list[0].Hint, hint) {
			t.Errorf("%+v, want %s: %s (%s)", list, level, what, hint)
		}
	}
	write(t, filepath.Join(m.Home(), "etc/ossec.conf"), "<ossec_config><ruleset><rule_dir>ruleset/rules</rule_dir><rule_dir>etc/rules</rule_dir></ruleset></ossec_config>")
	check(Note, "no rules for Pulse's events", "pulse wazuh-rules")
	file := filepath.Join(m.Home(), "etc/rules", wazuhrules.FileName)
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		t.Fatal(err)
	}
	write(t, file, string(wazuhrules.Format(wazuhrules.DefaultFirstID)))
	long := time.Now().Add(-time.Hour)
	if err := os.Chtimes(file, long, long); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o660); err != nil {
		t.Fatal(err)
	}
	check(Good, "IDs from 119500 on", "")
	write(t, filepath.Join(m.Home(), "etc/rules/local_rules.xml"), `<group name="local,"><rule id="119514" level="3"></rule></group>`)
	check(Warning, "rule 119514 is in ", "--first-id")
	write(t, filepath.Join(m.Home(), "etc/ossec.conf"), "<ossec_config></ossec_config>")
	check(Warning, "the manager does not read it", "<rule_dir>")
	l.Pulse.UpdateStatus = false
	if list := of(examined(t.Context(), l), "rules"); len(list) != 0 {
		t.Errorf("where nothing is sent: %+v", list)
	}
}

func TestOnAWorkerMovesAreCautionedAgainst(t *testing.T) {
	l, m := stock(t)
	conf := filepath.Join(m.Home(), "etc/ossec.conf")
	write(t, conf, "<ossec_config><cluster><node_name>west</node_name><node_type>worker</node_type><disabled>no</disabled></cluster></ossec_config>")
	list := of(examined(t.Context(), l), "manager")
	if len(list) != 5 || list[4].Level != Note || !strings.Contains(list[4].What, "moves to another node") || !strings.Contains(list[4].Hint, "<update_status>") {
		t.Errorf("%+v", list)
	}
	l.Pulse.UpdateStatus = false
	if list := of(examined(t.Context(), l), "manager"); len(list) != 3 || list[2].Level != Note || !strings.Contains(list[2].What, "which nodes this cluster has") {
		t.Errorf("with nothing to write: %+v", list)
	}
}

// The rows of a cluster have the managers' names, and the nodes share their own.
func TestANodeThatIsCalledOtherwiseThanItsManagerIsCautionedAgainst(t *testing.T) {
	for _, tt := range []struct {
		name, url string
		want      bool
	}{{"east", "nats://127.0.0.1:1", true}, {"west", "nats://127.0.0.1:1", false}, {"east", "", false}} {
		l, m := stock(t)
		write(t, filepath.Join(m.Home(), "etc/ossec.conf"), "<ossec_config><cluster><node_name>west</node_name><node_type>worker</node_type><disabled>no</disabled></cluster></ossec_config>")
		l.Pulse.NodeName, l.NATS.ServerURL = tt.name, tt.url
		is := slices.ContainsFunc(of(examined(t.Context(), l), "manager"), func(f Finding) bool {
			return f.Level == Note && strings.Contains(f.What, "the manager's node is called west, and this Pulse east") && strings.Contains(f.Hint, "west in <pulse><node_name>")
		})
		if is != tt.want {
			t.Errorf("%s, sharing at %q: %v", tt.name, tt.url, is)
		}
	}
}

func TestAHomeWithoutAManagerIsAFailureOnlyWithLinkAttach(t *testing.T) {
	l := host(t)
	if list := of(examined(t.Context(), l), "manager"); len(list) != 1 || list[0].Level != Warning || !strings.Contains(list[0].What, "no manager is in "+l.Pulse.Home) {
		t.Errorf("%+v", list)
	}
	l.Pulse.Link = "listen"
	if list := of(examined(t.Context(), l), "manager"); len(list) != 1 || list[0].Level != Good {
		t.Errorf("%+v", list)
	}
	l.Pulse.Link = "attach"
	for _, f := range of(examined(t.Context(), l), "manager") {
		if f.Level != Failure {
			t.Errorf("%+v", f)
		}
	}
}

func TestALoginThatWorksIsSaid(t *testing.T) {
	l := host(t)
	l.NATS.ServerURL = natsServer(t, &server.Options{})
	if list := of(examined(t.Context(), l), "NATS"); len(list) != 1 || list[0].Level != Good || !strings.Contains(list[0].What, "logged in at") {
		t.Errorf("%+v", list)
	}
}

func TestANodeOfTheSameNameIsFoundBeforeTheStart(t *testing.T) {
	l := host(t)
	l.Pulse.NodeName, l.NATS.ServerURL = "web", natsServer(t, &server.Options{})
	if list := of(examined(t.Context(), l), "name"); len(list) != 1 || list[0].Level != Good {
		t.Errorf("%+v", list)
	}
	other := presence.New(presence.Config{Node: "web", Epoch: 1716897300, StartedAt: time.Unix(1716897300, 0), Host: "elsewhere"})
	way, err := remote.Open(remote.Config{URL: l.NATS.ServerURL, Admit: other.Admit})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { other.Close(); way.Close() }()
	if _, err := way.Session(t.Context()); err != nil {
		t.Fatal(err)
	}
	list := of(examined(t.Context(), l), "name")
	if len(list) != 1 || list[0].Level != Failure || !strings.Contains(list[0].What, `a node called web exists already, on host "elsewhere", started 2024-05-28T11:55:00Z`) ||
		!strings.Contains(list[0].Hint, "<node_name>") {
		t.Errorf("%+v", list)
	}
}

func TestWithoutTheRightNobodyIsSaidToBeAlone(t *testing.T) {
	l := host(t)
	l.NATS.ServerURL = natsServer(t, &server.Options{NoAuthUser: "u", Users: []*server.User{{Username: "u", Password: "p",
		Permissions: &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"pulse.>"}}}}}})
	list := of(examined(t.Context(), l), "name")
	if len(list) != 1 || list[0].Level != Warning || !strings.Contains(list[0].Hint, "--renew") {
		t.Errorf("%+v", list)
	}
}

func TestAnExaminationEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if list := examined(ctx, host(t)); len(list) > 0 {
		t.Errorf("%+v", list)
	}
}

func TestMistakesInTheSettingsAreFindingsEach(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pulse.conf")
	write(t, path, "<ossec_config>\n<pulse>\n<lnik>auto</lnik>\n<http>here</http>\n</pulse>\n</ossec_config>\n")
	_, err := config.Load(path)
	if err == nil {
		t.Fatal("no mistake")
	}
	list := SettingsFindings(err)
	for i, line := range []int{3, 4} {
		if len(list) != 2 || !strings.HasPrefix(list[i].What, path+":"+strconv.Itoa(line)+": ") || list[i].Hint == "" || list[i].Level != Failure {
			t.Fatalf("%+v", list)
		}
	}
}

func taken(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

func natsServer(t *testing.T, opts *server.Options) string {
	t.Helper()
	opts.Host, opts.Port, opts.NoLog, opts.NoSigs = "127.0.0.1", server.RANDOM_PORT, true, true
	s := natsserver.RunServer(opts)
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s.ClientURL()
}

func TestTheWaysToAskAHostAreNamed(t *testing.T) {
	loaded := host(t)
	loaded.KeepAlive.HostProbePorts = []int{22, 3389}
	ping := hostprobe.CheckPing() == nil
	found := of(examined(t.Context(), loaded), "host probe")
	if len(found) != 1 || !strings.Contains(found[0].What, "tcp:22, tcp:3389") || strings.Contains(found[0].Hint, "ping_group_range") == ping {
		t.Errorf("icmp allowed: %v, found %+v", ping, found)
	}
	loaded.KeepAlive.HostProbePorts = nil
	found = of(examined(t.Context(), loaded), "host probe")
	if len(found) != 1 || (found[0].Level == Warning) == ping {
		t.Errorf("icmp allowed: %v, without ports found %+v", ping, found)
	}
}

func TestOneAgentIsNotCalledAgents(t *testing.T) {
	l := host(t)
	l.Pulse.Link, l.Pulse.ClientKeys = "listen", filepath.Join(t.TempDir(), "client.keys")
	write(t, l.Pulse.ClientKeys, "001 web any 0123456789abcdef0123456789abcdef\n")
	for _, f := range examined(t.Context(), l) {
		if strings.Contains(f.What, "1 agents") || f.Check == "client.keys" && !strings.HasSuffix(f.What, ": 1 agent") {
			t.Errorf("%+v", f)
		}
	}
}
