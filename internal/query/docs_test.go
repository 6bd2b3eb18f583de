package query

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/silence"
	"github.com/wazuh-pulse/pulse/internal/view"
)

const manual = "../../docs/questions.md"

func readManual(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// section is the part of the page under a heading.
func section(t *testing.T, heading string) string {
	t.Helper()
	_, text, ok := strings.Cut(readManual(t), "\n"+heading+"\n")
	if !ok {
		t.Fatalf("%s has no %q", manual, heading)
	}
	text, _, _ = strings.Cut(text, "\n"+strings.Repeat("#", strings.Count(heading, "#"))+" ")
	return text
}

// Every field of every request and answer has a row where it belongs, every
// subject and code too.
func TestTheManualExplainsEverything(t *testing.T) {
	known := func(parse func([]byte) error) (names []string) {
		_, list, _ := strings.Cut(parse([]byte(`{"?":1}`)).Error(), "known are ")
		return strings.Split(list, ", ")
	}
	fields := func(v any) (names []string) {
		for _, f := range reflect.VisibleFields(reflect.TypeOf(v)) {
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" { // else its own fields are at its place
				names = append(names, name)
			}
		}
		return names
	}
	for heading, names := range map[string][]string{
		"## List agents":   append(known(func(b []byte) error { _, err := parseListRequest(b); return err }), fields(listAnswer{})...),
		"### An agent":     fields(view.Agent{}),
		"## Get one agent": append(known(func(b []byte) error { _, err := parseGetRequest(b); return err }), fields(getAnswer{})...),
		"## List silences": append(known(func(b []byte) error { _, err := parseSilencesRequest(b); return err }), fields(silencesAnswer{})...),
		"## List nodes":    append(fields(view.NodeList{}), fields(view.Node{})...),
		"## Ping an agent": append(known(func(b []byte) error { _, err := parsePingRequest(b); return err }), fields(view.PingAnswer{})...),
	} {
		text := section(t, heading)
		for _, name := range names {
			if !strings.Contains(text, "| `"+name+"` |") {
				t.Errorf("%q has no row for %q", heading, name)
			}
		}
	}
	page := readManual(t)
	for _, e := range endpoints {
		if !strings.Contains(page, "| `pulse."+e.subject+"` | `pulse.NODE."+e.subject+"` |") {
			t.Errorf("no row for %s", e.subject)
		}
	}
	for _, code := range []int{badRequest, notFound, conflict, tooMany, unavailable, timedOut} {
		if !strings.Contains(page, "| `"+strconv.Itoa(code)+"` |") {
			t.Errorf("no row for the code %d", code)
		}
	}
}

var example = regexp.MustCompile(`(?m)^    (?:\$ )?nats req (\S+) '(.*)'`)

// Every request that is shown can be asked as it is.
func TestTheRequestsOfTheManualAreAnswered(t *testing.T) {
	f := newFleet(t, settings, 300)
	for id := detector.AgentID(1); id < 295; id++ {
		f.connect(false, id)
	}
	url := natsServer(t)
	s, _ := newService("node01", f, f.clock)
	s.cfg.Nodes = func() view.NodeList { return view.NodeList{} }
	serve(t, s, connect(t, url))
	c := newClient(t, url, 1)
	shown := example.FindAllStringSubmatch(readManual(t), -1)
	if len(shown) < 7 {
		t.Fatalf("only %d requests are shown", len(shown))
	}
	for _, m := range shown {
		answer := c.ask(m[1], m[2])
		if strings.Contains(m[2], "295") {
			c.refused(answer, "409", "agent 295 is never_connected")
		} else if code(answer) != "" {
			t.Errorf("%s: refused with %s", m[0], answer.Header.Get("Nats-Service-Error"))
		}
	}
}

var jsonBlock = regexp.MustCompile("(?s)```json\n(.*?)```")

// Every answer that is shown has the fields that there are, and no other.
func TestTheAnswersOfTheManualFit(t *testing.T) {
	blocks := jsonBlock.FindAllStringSubmatch(readManual(t), -1)
	shapes := []any{&struct {
		listAnswer
		Agents []view.Agent `json:"agents"`
	}{}, &getAnswer{}, &view.PingAnswer{}, &struct {
		silencesAnswer
		Silences []silence.Shown `json:"silences"`
	}{}, &view.NodeList{}}
	if len(blocks) != len(shapes) {
		t.Fatalf("%d answers are shown, want %d", len(blocks), len(shapes))
	}
	for i, block := range blocks {
		d := json.NewDecoder(strings.NewReader(block[1]))
		d.DisallowUnknownFields()
		if err := d.Decode(shapes[i]); err != nil {
			t.Errorf("%v in %s", err, block[1])
		}
	}
}
