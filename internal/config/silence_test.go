package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/wazuh-pulse/pulse/internal/silence"
)

// silenced puts elements, each on a line of its own from line 4, into a silence on line 3.
func silenced(name string, elements ...string) string {
	return in("pulse", `<silence name="`+name+`">`, strings.Join(elements, "\n"), "</silence>")
}

const anAgent, aTime = "<agent>web-*</agent>", "<weekly>Sun 02:00-04:00 UTC</weekly>"

func TestSilencesAreRead(t *testing.T) {
	l := mustRead(t, silenced("night", anAgent, "<group> web </group>", "<network>10.0.0.0/8</network>", aTime, "<comment>why &amp; what</comment>"),
		silenced("all", "<all>yes</all>", "<weekly>daily 01:00-02:00 Europe/Berlin</weekly>"))
	want := []Silence{{Name: "night", Agent: "web-*", Group: "web", Network: "10.0.0.0/8", Weekly: "Sun 02:00-04:00 UTC", Comment: "why & what"},
		{Name: "all", All: true, Weekly: "daily 01:00-02:00 Europe/Berlin"}}
	if diff := cmp.Diff(want, l.Silences); diff != "" {
		t.Error(diff)
	}
	again := mustRead(t, silenced("night", anAgent, aTime), silenced("night", "<agent>7</agent>", aTime))
	if len(again.Silences) != 1 || again.Silences[0].Agent != "7" {
		t.Errorf("a later file does not replace one: %+v", again.Silences)
	}
	if got := source(again, namedPath(pathSilence, "night")+"/agent"); got != "second.conf:4" {
		t.Errorf("agent came from %s", got)
	}
}

func TestAReloadTakesUpSilences(t *testing.T) {
	before, after := mustRead(t, silenced("old", anAgent, aTime)), mustRead(t, silenced("new", anAgent, aTime, "<comment>c</comment>"))
	now, changed, waiting := before.Config.Reload(&after.Config)
	if diff := cmp.Diff(after.Silences, now.Silences); diff != "" || len(waiting) > 0 {
		t.Errorf("%s, waiting %v", diff, waiting)
	}
	if len(changed) != 5 || changed[0].Path != "ossec_config/pulse/silence[@name='new']/agent" || changed[4].Is != "" {
		t.Errorf("%v", changed)
	}
}

var silenceErrorTests = []struct{ name, text, want string }{
	{"a silence without a name", in("pulse", "<silence>", anAgent, aTime, "</silence>"),
		`pulse.conf:3: <silence> needs a name, and no other attribute; write it as <silence name="patch-night">`},
	{"a silence twice", in("pulse", `<silence name="a">`+anAgent+aTime+"</silence>", `<silence name="a"/>`),
		`pulse.conf:4: <silence name="a"> is here twice, first on line 3; give each a name of its own`},
	{"a silence of nobody", silenced("a", aTime),
		`pulse.conf:3: <silence name="a"> selects no agent; choose its agents with <agent>, <group>, <network> or <all>`},
	{"a silence of nobody, written out", silenced("a", "<all>no</all>", aTime),
		`pulse.conf:3: <silence name="a"> selects no agent; choose its agents with <agent>, <group>, <network> or <all>`},
	{"a silence of all and some", silenced("a", "<all>yes</all>", anAgent, aTime),
		`pulse.conf:3: <silence name="a">: all agents, and a selector of some: want one or the other`},
	{"a silence without a time", silenced("a", anAgent),
		`pulse.conf:3: <silence name="a"> has no <weekly>; want ` + silence.WantWeekly + "; for once, use pulse silence add"},
	{"a silence that never ends", silenced("a", anAgent, "<weekly>daily 00:00-24:00 UTC</weekly>"),
		`pulse.conf:5: <silence name="a">: <weekly>daily 00:00-24:00 UTC</weekly>: it never ends: an agent that is lost would never be an alert; want ` + silence.WantWeekly + " (default none)"},
	{"a silence in a zone that is not there", silenced("a", anAgent, "<weekly>Sun 02:00-04:00 Berlin</weekly>"),
		`pulse.conf:5: <silence name="a">: <weekly>Sun 02:00-04:00 Berlin</weekly>: zone "Berlin" is not known: want one such as Europe/Berlin or UTC; want ` + silence.WantWeekly + " (default none)"},
	{"a bad selector of a silence", silenced("a", "<network>10.1.2.3/8</network>", aTime),
		`pulse.conf:4: <silence name="a">: <network>10.1.2.3/8</network>: network "10.1.2.3/8": has bits behind its length: want 10.0.0.0/8; ` +
			"want IP addresses and networks separated by commas, such as 10.1.0.0/16,192.0.2.7 (default none)"},
	{"a misspelt element of a silence", silenced("a", "<agents>web-*</agents>", aTime),
		`pulse.conf:4: <silence name="a">: unknown element <agents>; did you mean <agent>?`},
	{"a silence elsewhere", in("nats", `<silence name="a"/>`),
		"pulse.conf:3: <nats>: unknown element <silence>; it belongs into <pulse>"},
	{"a silence on its own", "<ossec_config>\n<silence/></ossec_config>",
		"pulse.conf:2: <silence> outside of <pulse>; move it into <pulse>"},
	{"one silence too many", in("pulse", manySilences(maxSilences+1)),
		`pulse.conf:103: <silence name="s100"> is one more than the 100 there may be; use pulse silence add for others`},
}

func manySilences(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "<silence name=\"s%d\">%s%s</silence>\n", i, anAgent, aTime)
	}
	return b.String()
}

func TestErrorsAboutSilencesNameTheirPlace(t *testing.T) {
	for _, tt := range silenceErrorTests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := read(tt.text)
			if err == nil || err.Error() != tt.want {
				t.Errorf("have %v\nwant %s", err, tt.want)
			}
		})
	}
}
