package config

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// source is where a loaded setting came from.
func source(l *Loaded, path string) string { return l.origins[path].String() }

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pulse.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFilesWithoutSettingsMeanDefaults(t *testing.T) {
	for _, text := range []string{
		"", " \n", "<!-- nothing -->", "<ossec_config/>", "<ossec_config></ossec_config>\n<ossec_config/>",
		"\uFEFF<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<!DOCTYPE ossec_config>\n<ossec_config/>",
		`<?xml version="1.0" encoding="US-ASCII"?><ossec_config><nats/><pulse> </pulse></ossec_config>`,
		"<ossec_config><remote><manager_keepalive/></remote></ossec_config>",
	} {
		if diff := cmp.Diff(Default(), mustRead(t, text).Config, compareAddr); diff != "" {
			t.Errorf("%q:\n%s", text, diff)
		}
	}
}

func TestWithoutAPathTheDefaultFileIsReadIfItExists(t *testing.T) {
	path := write(t, in("pulse", "<node_name>n1</node_name>"))
	l, err := loadFiles(path, nil)
	if err != nil || l.Pulse.NodeName != "n1" || len(l.Files) != 1 {
		t.Errorf("got %+v, %v", l, err)
	}
	l, err = loadFiles(path+".absent", nil)
	if err != nil || l.Pulse.NodeName != nodeNameOfHost() || len(l.Files) != 0 {
		t.Errorf("got %+v, %v", l, err)
	}
}

func TestANamedFileMustBeReadableAndSmall(t *testing.T) {
	path := write(t, strings.Repeat(" ", maxFile))
	if _, err := Load(path); err != nil {
		t.Errorf("1 MiB: %v", err)
	}
	if _, err := Load(path + ".absent"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: got %v", err)
	}
	if _, err := Load(filepath.Dir(path)); err == nil || !strings.HasPrefix(err.Error(), "read settings: ") {
		t.Errorf("directory: got %v", err)
	}
	path = write(t, strings.Repeat(" ", maxFile+1))
	if _, err := Load(path); err == nil || err.Error() != path+": larger than 1 MiB; give a settings file in XML" {
		t.Errorf("1 MiB and a byte: got %v", err)
	}
}

func TestLaterValuesOverrideEarlierOnesOneByOne(t *testing.T) {
	first := in("nats", "<listen>h:1</listen>", "<max_reconnects>7</max_reconnects>") + "\n" + in("nats", "<listen>h:2</listen>")
	second := in("nats", "<listen>h:3</listen>") + in("manager_keepalive", "<timeout>1h</timeout>")
	l := mustRead(t, first, second)
	if l.NATS.Listen != "h:3" || l.NATS.MaxReconnects != 7 || l.KeepAlive.Timeout != time.Hour {
		t.Errorf("got %+v", l.Config)
	}
	if diff := cmp.Diff([]string{"pulse.conf", "second.conf"}, l.Files); diff != "" {
		t.Error(diff)
	}
	for path, want := range map[string]string{
		"nats/listen": "second.conf:3", "nats/max_reconnects": "pulse.conf:4", pathTimeout: "second.conf:7", pathInterval: "default",
	} {
		if got := source(l, path); got != want {
			t.Errorf("%s came from %s, want %s", path, got, want)
		}
	}
	if l := mustRead(t, first); source(l, "nats/listen") != "pulse.conf:9" {
		t.Errorf("a later root: got %s", source(l, "nats/listen"))
	}
}

func TestRulesBetweenSettingsHoldForTheResultOnly(t *testing.T) {
	mustRead(t, in("manager_keepalive", "<interval>10m</interval>"), in("manager_keepalive", "<timeout>30m</timeout>"))
	mustRead(t, in("nats", "<tls_key>/k</tls_key>"), in("nats", "<tls_cert>/c</tls_cert>"))
}

func TestClientKeysFollowHomeUnlessSet(t *testing.T) {
	l := mustRead(t, in("pulse", "<home>/opt/wazuh</home>"))
	if l.Pulse.ClientKeys != "/opt/wazuh/etc/client.keys" || source(l, pathClientKeys) != "derived from home" {
		t.Errorf("got %s from %s", l.Pulse.ClientKeys, source(l, pathClientKeys))
	}
	l = mustRead(t, in("pulse", "<client_keys>/k</client_keys>"), in("pulse", "<home>/opt/wazuh</home>"))
	if l.Pulse.ClientKeys != "/k" || source(l, pathClientKeys) != "pulse.conf:3" {
		t.Errorf("got %s from %s", l.Pulse.ClientKeys, source(l, pathClientKeys))
	}
}

func TestTheClusterNamesTheNodeUnlessPulseDoes(t *testing.T) {
	cluster := in("cluster", "<node_name>wazuh.master</node_name>", "<node_name> master </node_name>")
	pulse := in("pulse", "<node_name>mine</node_name>")
	for _, tt := range []struct {
		name, want, from string
		texts            []string
	}{
		{"alone", "master", "pulse.conf:4", []string{cluster}},
		{"pulse after it", "mine", "second.conf:3", []string{cluster, pulse}},
		{"pulse before it", "mine", "pulse.conf:3", []string{pulse, cluster}},
		{"pulse beside one that NATS cannot carry", "mine", "pulse.conf:3", []string{pulse, in("cluster", "<node_name>a.b</node_name>")}},
	} {
		l := mustRead(t, tt.texts...)
		if l.Pulse.NodeName != tt.want || source(l, pathNodeName) != tt.from {
			t.Errorf("%s: got %s from %s", tt.name, l.Pulse.NodeName, source(l, pathNodeName))
		}
	}
}

func TestAStockManagersFileIsUnderstood(t *testing.T) {
	l, err := Load("testdata/ossec.conf")
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Remote.Port = 1515 // the secure remote's: the syslog one comes later and does not count
	want.Pulse.NodeName = "master-node"
	if diff := cmp.Diff(want, l.Config, compareAddr); diff != "" {
		t.Error(diff)
	}
	if len(l.Warnings) > 0 {
		t.Errorf("warnings about Wazuh's own elements: %v", l.Warnings)
	}
}

func TestAMisspeltBlockIsAWarning(t *testing.T) {
	l := mustRead(t, "<ossec_config>\n<plse/>\n<remote>\n<manager_keep_alive/></remote><wodle/></ossec_config>")
	var got bytes.Buffer
	for _, w := range l.Warnings {
		got.WriteString(w.Error() + "\n")
	}
	want := "pulse.conf:2: <plse> is ignored; did you mean <pulse>?\n" +
		"pulse.conf:4: <manager_keep_alive> is ignored; did you mean <manager_keepalive>?\n"
	if got.String() != want {
		t.Errorf("got\n%swant\n%s", &got, want)
	}
}

func TestANodeOfAClusterThatSharesNothingIsAWarning(t *testing.T) {
	const url = "<server_url>nats://127.0.0.1:4222</server_url>"
	for _, c := range []struct{ nats, enabled, want string }{
		{"", "yes", "pulse.conf:1: <cluster><enabled> without <server_url>: this node shares nothing"},
		{url, "yes", ""},
		{"", "no", ""},
		{url + "<message_signing>no</message_signing>", "yes", "pulse.conf:1: <cluster><enabled> without <message_signing>: this node"},
		{"<enabled>no</enabled>", "yes", "pulse.conf:1: <cluster><enabled> with <nats><enabled>no</enabled></nats>: this node"},
	} {
		l := mustRead(t, "<ossec_config><nats>"+c.nats+"</nats><cluster><enabled>"+c.enabled+"</enabled></cluster></ossec_config>")
		var got string
		for _, w := range l.Warnings {
			got += w.Error()
		}
		if got != "" != (c.want != "") || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q, want %q", c.nats, got, c.want)
		}
	}
}

func TestANodeWithoutANameHasItsHosts(t *testing.T) {
	for host, want := range map[string]string{
		"web-1": "web-1", "web-1.example.com": "web-1-example-com", "Web_1": "Web_1", "": namelessNode, "...": namelessNode,
		"-x.": "x", "a b*c>d": "a-b-c-d", "höst": "h-st", strings.Repeat("n", 63) + ".example": strings.Repeat("n", 63), "web\n1": "web-1",
	} {
		got := nodeNameFrom(host)
		if got != want {
			t.Errorf("%q: got %q, want %q", host, got, want)
		}
		if err := token.check(got); err != nil {
			t.Errorf("%q: %v", host, err)
		}
	}
	l := mustRead(t, "<ossec_config></ossec_config>")
	if l.Pulse.NodeName != nodeNameOfHost() || source(l, pathNodeName) != "default" {
		t.Errorf("got %s from %s", l.Pulse.NodeName, source(l, pathNodeName))
	}
}

// Each packaged ossec.conf has node01 in a cluster that is not set up.
func TestThePackagedNameOfAClusterThatIsOffNamesNoNode(t *testing.T) {
	for _, tt := range []struct{ name, cluster, want string }{
		{"packaged", "<node_name>node01</node_name><disabled>yes</disabled>", nodeNameOfHost()},
		{"a cluster", "<node_name>node01</node_name><disabled>no</disabled>", "node01"},
		{"a name that somebody chose", "<node_name>west</node_name><disabled>yes</disabled>", "west"},
	} {
		text := "<ossec_config><cluster>" + tt.cluster + "</cluster></ossec_config>"
		if l := mustRead(t, text); l.Pulse.NodeName != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, l.Pulse.NodeName, tt.want)
		}
		home := t.TempDir()
		if err := os.MkdirAll(filepath.Join(home, "etc"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(home, "etc/ossec.conf"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if l := mustRead(t, in("pulse", "<home>"+home+"</home>")); l.Pulse.NodeName != tt.want {
			t.Errorf("%s, in home: got %s, want %s", tt.name, l.Pulse.NodeName, tt.want)
		}
	}
}

func TestReloadTakesWhatCanChangeWhileANodeRuns(t *testing.T) {
	was := mustRead(t, "<ossec_config><remote><manager_keepalive><interval>60</interval>"+
		"<agent_group name=\"old\"><ids>001</ids><timeout>90</timeout></agent_group></manager_keepalive></remote></ossec_config>")
	next := mustRead(t, "<ossec_config><remote><port>1600</port><manager_keepalive><interval>5</interval><timeout>2m</timeout><method>ack</method>"+
		"<agent_group name=\"new\"><names>web-*</names><high_alert_threshold>3</high_alert_threshold></agent_group></manager_keepalive></remote>"+
		"<nats><high_alert_threshold>6</high_alert_threshold><subject_prefix>a.b</subject_prefix></nats><pulse><log_level>debug</log_level></pulse></ossec_config>")
	now, changed, waiting := was.Reload(&next.Config)
	want := next.Config
	want.Remote.Port, want.KeepAlive.Method, want.NATS.SubjectPrefix = 1514, "request", "wazuh.xdr"
	if diff := cmp.Diff(want, now, cmpopts.EquateComparable(want.Remote.LocalIP)); diff != "" {
		t.Error(diff)
	}
	paths := func(list []Change) (all []string) {
		for _, c := range list {
			all = append(all, c.Path+" "+c.Was+"→"+c.Is)
		}
		return all
	}
	const k, old, fresh = "ossec_config/remote/manager_keepalive/", "agent_group[@name='old']/", "agent_group[@name='new']/"
	if diff := cmp.Diff([]string{k + "interval 60→5", k + "timeout 180→120", k + fresh + "names →web-*", k + fresh + "interval →5", k + fresh + "timeout →120",
		k + fresh + "max_missed →3", k + fresh + "high_alert_threshold →3", "ossec_config/nats/high_alert_threshold 8→6", "ossec_config/pulse/log_level info→debug",
		k + old + "ids 001→", k + old + "interval 60→", k + old + "timeout 90→", k + old + "max_missed 3→", k + old + "high_alert_threshold 8→"}, paths(changed)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"ossec_config/remote/port 1514→1600", k + "method request→ack", "ossec_config/nats/subject_prefix wazuh.xdr→a.b"}, paths(waiting)); diff != "" {
		t.Error(diff)
	}
	if _, changed, waiting := now.Reload(&now); len(changed)+len(waiting) > 0 {
		t.Errorf("changed by itself: %v %v", changed, waiting)
	}
}

// What is printed of each setting is understood again, as a reload relies on.
func TestEverySettingIsReadAsItIsPrinted(t *testing.T) {
	full := loadFull(t)
	c := Default()
	for _, s := range table {
		if err := s.field(&c).setFromText(s.field(&full.Config).String()); err != nil {
			t.Errorf("%s: %v", s.path, err)
		}
	}
	c.Groups, c.Silences = full.Groups, full.Silences
	if !reflect.DeepEqual(c, full.Config) {
		t.Error(cmp.Diff(full.Config, c, cmpopts.EquateComparable(c.Remote.LocalIP)))
	}
}

// A reload reads the file while the node works: it must not wait for somebody to write.
func TestANamedPipeIsNoSettingsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pulse.conf")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), path+": a named pipe") {
		t.Errorf("%v", err)
	}
}
