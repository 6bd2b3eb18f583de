package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// home makes a manager's directory with an ossec.conf.
func home(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "etc"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(managerFilePath(dir), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

const (
	managersRemote  = "<remote><connection>secure</connection><port>1515</port><protocol>tcp</protocol></remote>\n"
	managersCluster = "<cluster><name>wazuh</name><node_name>worker7</node_name><node_type>worker</node_type><disabled>no</disabled></cluster>\n"
	managersFileIs  = "<ossec_config>\n" + managersRemote + managersCluster + "</ossec_config>\n"
)

// What the manager's own reader accepts is read, in its home and as a settings file.
func TestWhatTheManagerAcceptsIsRead(t *testing.T) {
	for name, text := range map[string]string{
		"nothing unusual":                    managersFileIs,
		"text after the root":                managersFileIs + "trash string at the end\n",
		"text before and between the roots":  "# mine\n" + managersFileIs + "more\n<ossec_config><global/></ossec_config>",
		"Latin-1 in a comment":               "<!-- B\xfcro S\xfcd -->\n" + managersFileIs,
		"Latin-1 in an element":              "<ossec_config><localfile><location>/B\xfcro</location></localfile></ossec_config>" + managersFileIs,
		"a < after a backslash":              `<ossec_config><localfile><query>a \< b</query></localfile></ossec_config>` + managersFileIs,
		"several roots":                      "<ossec_config>" + managersRemote + "</ossec_config>\n<ossec_config>" + managersCluster + "</ossec_config>",
		"a bare & and a bare >":              "<ossec_config><command><name>a && b > c</name></command></ossec_config>" + managersFileIs,
		"dashes in a comment":                "<!-- a -- b --- c -->" + managersFileIs,
		"a comment of the manager's own end": "<! a <remote> b !>" + managersFileIs,
		"a byte order mark":                  "\uFEFF" + managersFileIs,
		"lines of Windows":                   strings.ReplaceAll(managersFileIs, "\n", "\r\n"),
		"variables":                          `<ossec_config><var name="N">worker7</var><var name='P'>1515</var></ossec_config>` + strings.NewReplacer("worker7", "$N", "1515", "$P").Replace(managersFileIs),
		"an agent's block in it":             "<ossec_config><client><server><address>10.0.0.1</address></server></client></ossec_config>" + managersFileIs,
		"a declared encoding":                `<?xml version="1.0" encoding="iso-8859-1"?>` + managersFileIs,
		"an end that closes nothing":         "<ossec_config></client></ossec_config>" + managersFileIs,
	} {
		m, err := ReadManager(home(t, text))
		if err != nil || m.NodeName != "worker7" || !m.Clustered || !m.Worker || len(m.Cautions) > 0 {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
		l, err := read(text)
		if err != nil {
			t.Errorf("%s, as a settings file: %v", name, err)
			continue
		}
		if l.Pulse.NodeName != "worker7" || l.Remote.Port != 1515 || len(l.Warnings) > 0 {
			t.Errorf("%s, as a settings file: node %q, port %d, %v", name, l.Pulse.NodeName, l.Remote.Port, l.Warnings)
		}
	}
	for _, name := range []string{"latin1-comment.conf", "trailing-text.conf"} {
		text, err := os.ReadFile(filepath.Join("testdata/managers", name))
		if err != nil {
			t.Fatal(err)
		}
		if m, err := ReadManager(home(t, string(text))); err != nil || m.NodeName != "manager1" || !m.Clustered {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
		if l, err := Load(filepath.Join("testdata/managers", name)); err != nil || l.Pulse.NodeName != "manager1" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Pulse's own settings stay strict: a file with a block of ours is no manager's.
func TestOurOwnFileIsReadStrictly(t *testing.T) {
	for name, text := range map[string]string{
		"text after the root":  "<ossec_config><pulse></pulse></ossec_config>\ntrash",
		"Latin-1 in a comment": "<ossec_config><nats></nats><!-- B\xfcro --></ossec_config>",
		"beside the manager's": managersFileIs + "<ossec_config><pulse><htpp>x</htpp></pulse></ossec_config>",
		"in the remote":        "<ossec_config><global/><remote><manager_keepalive><intervall>5</intervall></manager_keepalive></remote></ossec_config>",
		"a cut off file":       "<ossec_config><remote><port>1515</port>",
	} {
		if _, err := read(text); err == nil {
			t.Errorf("%s: it is taken", name)
		}
	}
}

func TestWhatPulseDoesNotFollowOfAManagersFileIsWarnedOf(t *testing.T) {
	second := "<ossec_config><remote><connection>secure</connection><port>1516</port></remote></ossec_config>"
	for _, tt := range []struct{ name, text, want, warned string }{
		{"a second remote of agents", managersFileIs + second, "worker7", "more than one <remote> of agents"},
		{"IPv6", strings.Replace(managersFileIs, "<port>", "<ipv6>yes</ipv6><port>", 1), "worker7", "has <ipv6>"},
		{"a variable that is not set", strings.Replace(managersFileIs, "worker7", "$NODE", 1), "", `its <node_name> is the variable $NODE`},
		{"no IPv6, and a remote of syslog", strings.Replace(managersFileIs, "<port>", "<ipv6>no</ipv6><port>", 1) +
			strings.Replace(second, "secure", "syslog", 1), "worker7", ""},
	} {
		m, err := ReadManager(home(t, tt.text))
		warned := strings.Join(m.Cautions, "\n")
		if err != nil || m.NodeName != tt.want || !strings.Contains(warned, tt.warned) || (warned == "") != (tt.warned == "") {
			t.Errorf("%s: %+v, %v", tt.name, m, err)
		}
		l, err := read(tt.text)
		if err != nil || len(l.Warnings) != len(m.Cautions) {
			t.Errorf("%s: %v, %v", tt.name, l, err)
		}
	}
	l, err := read(strings.Replace(managersFileIs, ">1515<", ">many<", 1))
	if err != nil || l.Remote.Port != Default().Remote.Port || len(l.Warnings) != 1 {
		t.Errorf("%v, %v", l, err)
	}
}

// It fails for nothing, whatever the bytes; what it returns is bounded by them.
func FuzzParseLenient(f *testing.F) {
	f.Add([]byte(managersFileIs))
	f.Add([]byte(`<a><b>x\< y</b><! !><!-- -- --><c d="e"/></x></a> t <`))
	f.Add([]byte(strings.Repeat("<a>", 50) + strings.Repeat("</a>", 60)))
	f.Fuzz(func(t *testing.T, data []byte) {
		lines, elements := 1+strings.Count(string(data), "\n"), 0
		var look func(nodes []*node, depth int)
		look = func(nodes []*node, depth int) {
			for _, n := range nodes {
				if elements++; n.line < 1 || n.line > lines || depth > maxDepth {
					t.Fatalf("line %d of %d, depth %d", n.line, lines, depth)
				}
				look(n.children, depth+1)
			}
		}
		roots := parseLenientXML(data)
		if look(roots, 0); elements > len(data) {
			t.Fatalf("%d elements of %d bytes", elements, len(data))
		}
		readManagerBlocks(roots)
		if strict, err := parseXML(data); err == nil && !strings.ContainsAny(string(data), "\\!?'\"\r") {
			names := func(nodes []*node) (all []string) {
				for _, n := range nodes {
					all = append(all, n.name)
				}
				return all
			}
			if got, want := names(roots), names(strict); !slices.Equal(got, want) {
				t.Fatalf("roots %q, want %q", got, want)
			}
		}
	})
}

func TestWhichRulesAManagerReadsIsRead(t *testing.T) {
	m, err := ReadManager(home(t, `<ossec_config><ruleset><rule_dir> ruleset/rules </rule_dir><rule_include>local_rules.xml</rule_include><rule_exclude>0215-policy_rules.xml</rule_exclude></ruleset></ossec_config>
<ossec_config><ruleset><rule_dir>etc/rules</rule_dir><rule_include>/etc/mine.xml</rule_include></ruleset></ossec_config>`))
	if err != nil || !slices.Equal(m.RuleDirs, []string{"ruleset/rules", "etc/rules"}) || !slices.Equal(m.RuleFiles, []string{"ruleset/rules/local_rules.xml", "/etc/mine.xml"}) ||
		!slices.Equal(m.RuleExcludes, []string{"0215-policy_rules.xml"}) {
		t.Errorf("%+v, %v", m, err)
	}
	if m, err := ReadManager(home(t, "<ossec_config></ossec_config>")); err != nil || !slices.Equal(m.RuleDirs, []string{"ruleset/rules"}) {
		t.Errorf("without a directory: %+v, %v", m, err)
	}
}
