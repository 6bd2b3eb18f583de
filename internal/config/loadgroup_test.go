package config

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// group puts elements, each on a line of its own from line 4, into a group on line 3.
func group(name string, elements ...string) string {
	return in("manager_keepalive", `<agent_group name="`+name+`">`, strings.Join(elements, "\n"), "</agent_group>")
}

const anID, anOverride = "<ids>001</ids>", "<max_missed>2</max_missed>"

// groupTexts are accepted.
var groupTexts = []string{
	group("servers", anID, anOverride),
	group("servers", "<names>web-*,dc??</names>", "<addresses>10.1.0.0/16,::1</addresses>", "<interval>30</interval>", "<timeout>90</timeout>"),
	group("linux", "<wazuh_groups>linux-*,web</wazuh_groups>"),
	group("a", "<ids>5-9,7-12</ids>", "<high_alert_threshold>0</high_alert_threshold>") + in("manager_keepalive", "<timeout>1h</timeout>"),
	in("manager_keepalive", "<agent_group name=a>"+anID+anOverride+"</agent_group><agent_group name='b'>"+anID+anOverride+"</agent_group>"),
}

func TestAGroupInheritsWhatItDoesNotSet(t *testing.T) {
	first := group("servers", "<ids>001,010-020</ids>", "<interval>2m</interval>")
	second := in("manager_keepalive", "<timeout>10m</timeout>") + in("nats", "<high_alert_threshold>5</high_alert_threshold>") +
		group("laptops", "<names>lap-*</names>", "<addresses>10.1.0.0/16</addresses>", "<timeout>8h</timeout>", anOverride)
	l := mustRead(t, first, second)
	want := []Group{
		{Name: "servers", IDs: []IDRange{{Lo: 1, Hi: 1}, {Lo: 10, Hi: 20}},
			Interval: 2 * time.Minute, Timeout: 10 * time.Minute, MaxMissed: 3, HighAlertThreshold: 5},
		{Name: "laptops", Names: []string{"lap-*"}, Addresses: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")},
			Interval: time.Minute, Timeout: 8 * time.Hour, MaxMissed: 2, HighAlertThreshold: 5},
	}
	if diff := cmp.Diff(want, l.Groups, compareAddr); diff != "" {
		t.Error(diff)
	}
	for name, want := range map[string]string{
		"ids": "pulse.conf:4", "interval": "pulse.conf:5", "timeout": "derived from " + pathTimeout,
		"max_missed": "default", "high_alert_threshold": "derived from " + pathHighAlert,
	} {
		if got := source(l, namedPath(pathGroup, "servers")+"/"+name); got != want {
			t.Errorf("%s came from %s, want %s", name, got, want)
		}
	}
}

func TestAGroupMayHaveNothingButASelector(t *testing.T) {
	for _, selector := range []string{anID, "<names>web-*</names>", "<addresses>10.0.0.0/8</addresses>", "<wazuh_groups>web</wazuh_groups>"} {
		l := mustRead(t, group("a", selector))
		if g := l.Groups[0]; g.Interval != time.Minute || g.MaxMissed != 3 || g.HighAlertThreshold != 8 {
			t.Errorf("%s: %+v", selector, g)
		}
	}
}

func TestALaterFilesGroupReplacesAnEarlierOneWhereItStands(t *testing.T) {
	first := group("a", "<ids>001</ids>", "<max_missed>5</max_missed>") + group("b", "<ids>002</ids>", anOverride)
	second := group("c", "<ids>003</ids>", anOverride) + group("a", "<names>x</names>", "<interval>30</interval>")
	l := mustRead(t, first, second)
	var got []string
	for _, g := range l.Groups {
		got = append(got, g.Name)
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, got); diff != "" {
		t.Error(diff)
	}
	if a := l.Groups[0]; a.IDs != nil || a.MaxMissed != 3 || a.Interval != 30*time.Second {
		t.Errorf("something of the earlier one is left: %+v", a)
	}
	if got := source(l, namedPath(pathGroup, "a")+"/max_missed"); got != "default" {
		t.Errorf("max_missed came from %s", got)
	}
	mustRead(t, first, first) // a file may be given twice
}

func TestOnlyTheFinalTimeoutOfAGroupIsHeldAgainstItsInterval(t *testing.T) {
	mustRead(t, group("a", anID, "<interval>10m</interval>"), in("manager_keepalive", "<timeout>30m</timeout>"))
	mustRead(t, group("a", anID, "<timeout>30</timeout>"), in("manager_keepalive", "<interval>30</interval>"))
	mustRead(t, group("a", anID, "<timeout>30</timeout>"), group("a", anID, "<interval>30</interval>"))
}

var groupErrorTests = []struct{ name, text, want string }{
	{"a group without a name", in("manager_keepalive", "<agent_group>", anID, anOverride, "</agent_group>"),
		`pulse.conf:3: <agent_group> needs a name, and no other attribute; write it as <agent_group name="servers">`},
	{"a group with more than a name", in("manager_keepalive", `<agent_group name="a" password="hunter2">`, anID, anOverride, "</agent_group>"),
		`pulse.conf:3: <agent_group> needs a name, and no other attribute; write it as <agent_group name="servers">`},
	{"a group with an empty name", group("", anID, anOverride),
		`pulse.conf:3: <agent_group name="">: empty; want 1 to 64 letters, digits, - or _`},
	{"a group with a name of two words", group("web servers", anID, anOverride),
		`pulse.conf:3: <agent_group name="web servers">: has a character that is no letter, digit, - or _; want 1 to 64 letters, digits, - or _`},
	{"a group without agents", group("a", anOverride),
		`pulse.conf:3: <agent_group name="a"> matches no agent; choose its agents with <ids>, <names>, <addresses> or <wazuh_groups>`},
	{"a group of nothing", group("a"),
		`pulse.conf:3: <agent_group name="a"> matches no agent; choose its agents with <ids>, <names>, <addresses> or <wazuh_groups>`},
	{"a bad Wazuh group", group("a", "<wazuh_groups>web,linux servers</wazuh_groups>"),
		`pulse.conf:4: <agent_group name="a">: <wazuh_groups>web,linux servers</wazuh_groups>: entry 2 of 2: has a space; ` +
			"want names of Wazuh groups or patterns separated by commas, such as web,linux-* (default none)"},
	{"a single Wazuh group", group("a", "<wazuh_group>web</wazuh_group>"),
		`pulse.conf:4: <agent_group name="a">: unknown element <wazuh_group>; did you mean <wazuh_groups>?`},
	{"a group twice", in("manager_keepalive", `<agent_group name="a">`+anID+anOverride+"</agent_group>", "", `<agent_group name="a"/>`),
		`pulse.conf:5: <agent_group name="a"> is here twice, first on line 3; give each a name of its own`},
	{"a misspelt element of a group", group("a", anID, "<interva>30</interva>"),
		`pulse.conf:5: <agent_group name="a">: unknown element <interva>; did you mean <interval>?`},
	{"a singular", group("a", "<name>web</name>", anOverride),
		`pulse.conf:4: <agent_group name="a">: unknown element <name>; did you mean <names>?`},
	{"a setting that groups do not have", group("a", anID, "<retry_interval>30</retry_interval>"),
		`pulse.conf:5: <agent_group name="a">: unknown element <retry_interval>; it belongs into <manager_keepalive>`},
	{"an element of a group like no other", group("a", anID, "<frobnicate/>"),
		`pulse.conf:5: <agent_group name="a">: unknown element <frobnicate>; known here: ids, names, addresses, wazuh_groups, interval, timeout, max_missed, high_alert_threshold`},
	{"a misspelt group", in("manager_keepalive", `<agent_gruop name="a"/>`),
		"pulse.conf:3: <manager_keepalive>: unknown element <agent_gruop>; did you mean <agent_group>?"},
	{"a group in a group", group("a", anID, anOverride, `<agent_group name="b"/>`),
		`pulse.conf:6: <agent_group name="a">: unknown element <agent_group>; it belongs into <manager_keepalive>`},
	{"a group in another block", in("nats", `<agent_group name="b"/>`),
		"pulse.conf:3: <nats>: unknown element <agent_group>; it belongs into <manager_keepalive>"},
	{"a group in remote", in("remote", `<agent_group name="b"/>`),
		"pulse.conf:3: <agent_group> outside of <manager_keepalive>; move it into the <manager_keepalive> of <remote>"},
	{"a group on its own", "<ossec_config>\n<agent_group/></ossec_config>",
		"pulse.conf:2: <agent_group> outside of <manager_keepalive>; move it into the <manager_keepalive> of <remote>"},
	{"a selector outside of a group", in("manager_keepalive", "<ids>001</ids>"),
		"pulse.conf:3: <manager_keepalive>: unknown element <ids>; it belongs into an <agent_group> of <manager_keepalive>"},
	{"an element of a group twice", group("a", anID, anOverride, anID),
		`pulse.conf:6: <agent_group name="a">: <ids> is here twice, first on line 4; keep one`},
	{"an attribute in a group", group("a", `<ids not="yes">001</ids>`, anOverride),
		`pulse.conf:4: <agent_group name="a">: <ids> has an attribute; settings are elements: remove it`},
	{"an element in a selector", group("a", "<ids><id>001</id></ids>", anOverride),
		`pulse.conf:4: <agent_group name="a">: <ids> has an element inside; it takes a plain value`},
	{"stray text in a group", group("a", anID, "web-*", anOverride),
		`pulse.conf:5: <agent_group name="a"> has text between its elements; put it into an element or a comment`},
	{"a bad selector", group("a", "<ids>001,x</ids>"),
		`pulse.conf:4: <agent_group name="a">: <ids>001,x</ids>: entry 2 of 2: not an agent id from 001 to 99999999, nor a range of them; ` +
			"want agent ids and ranges separated by commas, such as 001,010-020 (default none)"},
	{"an override out of range", group("a", anID, "<interval>2d</interval>"),
		`pulse.conf:5: <agent_group name="a">: <interval>2d</interval>: out of range; ` +
			"want seconds or a duration such as 90s or 2m, from 100ms to 1d (default manager_keepalive's)"},
	{"a threshold out of range", group("a", anID, "<high_alert_threshold>16</high_alert_threshold>"),
		`pulse.conf:5: <agent_group name="a">: <high_alert_threshold>16</high_alert_threshold>: out of range; ` +
			"want a whole number from 0 to 15 (default nats's)"},
	{"a group's timeout below its interval", group("a", anID, "<timeout>29</timeout>", "<interval>30</interval>"),
		`pulse.conf:5: <agent_group name="a">: timeout (29s) is below interval (30s): a live agent would be reported as disconnected; set <timeout> to at least 30s, better 90s`},
	{"a group's timeout below the inherited interval", group("a", anID, "<timeout>30</timeout>"),
		`pulse.conf:5: <agent_group name="a">: timeout (30s) is below interval (60s): a live agent would be reported as disconnected; set <timeout> to at least 60s, better 180s`},
	{"a group's interval above the inherited timeout", group("a", anID, "<interval>10m</interval>"),
		`pulse.conf:5: <agent_group name="a">: timeout (180s) is below interval (600s): a live agent would be reported as disconnected; set <timeout> to at least 600s, better 1800s`},
	{"an inherited timeout below the inherited interval", in("manager_keepalive", "<timeout>30</timeout>", `<agent_group name="a">`+anID+anOverride+"</agent_group>"),
		"pulse.conf:3: timeout (30s) is below interval (60s): a live agent would be reported as disconnected; set <timeout> to at least 60s, better 180s"},
	{"one group too many", in("manager_keepalive", manyGroups(maxGroups+1)),
		`pulse.conf:103: <agent_group name="g100"> is one more than the 100 there may be; join groups that differ only in their agents`},
}

// manyGroups writes each group on a line of its own.
func manyGroups(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "<agent_group name=\"g%d\">%s%s</agent_group>\n", i, anID, anOverride)
	}
	return b.String()
}

func TestAProblemInAGroupNamesTheGroup(t *testing.T) {
	for _, tt := range groupErrorTests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := read(tt.text)
			if err == nil {
				t.Fatalf("accepted: %+v", l.Config)
			}
			if err.Error() != tt.want {
				t.Errorf("\n got %s\nwant %s", err, tt.want)
			}
		})
	}
}

func TestAHundredGroupsMayBeReplacedButNotExceeded(t *testing.T) {
	hundred := in("manager_keepalive", manyGroups(maxGroups))
	if l := mustRead(t, hundred, hundred); len(l.Groups) != maxGroups {
		t.Errorf("got %d groups", len(l.Groups))
	}
	if _, err := read(hundred, group("more", anID, anOverride)); err == nil {
		t.Error("a hundred and one were accepted")
	}
}

func TestPrintedGroupsMeanTheSame(t *testing.T) {
	ids := "1"
	for i := 3; i < 1000; i += 2 {
		ids += fmt.Sprintf(",%d", i)
	}
	long := group("long", "<ids>"+ids+"</ids>", anOverride)
	for _, text := range append(groupTexts, long) {
		l := mustRead(t, text)
		var b bytes.Buffer
		if err := l.WriteXML(&b); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(l.Config, mustRead(t, b.String()).Config, compareAddr); diff != "" {
			t.Errorf("printed and read again:\n%s\n%s", diff, &b)
		}
		if strings.Contains(b.String(), strings.Repeat(" ", maxAligned)) {
			t.Errorf("a long list moves its neighbours' comments:\n%s", &b)
		}
	}
}
