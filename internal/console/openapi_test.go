package console

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/wazuh-pulse/pulse/internal/detector"
)

// apiDocument is the OpenAPI document, with its schemas ready to hold answers against.
type apiDocument struct {
	t     *testing.T
	raw   map[string]any
	paths map[string]map[string]struct {
		Responses map[string]struct{ Content map[string]any }
	}
	compiler *jsonschema.Compiler
}

func readDocument(t *testing.T) *apiDocument {
	t.Helper()
	d := &apiDocument{t: t, compiler: jsonschema.NewCompiler()}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(openAPI))
	if err != nil {
		t.Fatal(err)
	}
	d.raw = doc.(map[string]any)
	if err := json.Unmarshal(openAPI, &struct{ Paths any }{&d.paths}); err != nil {
		t.Fatal(err)
	}
	d.compiler.AssertFormat()
	if err := d.compiler.AddResource("mem:///openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	return d
}

func jsonPointer(parts ...string) string {
	for i, p := range parts {
		parts[i] = strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(p)
	}
	return "mem:///openapi.json#/" + strings.Join(parts, "/")
}

// checkAnswer checks an answer against what the document promises of it.
func (d *apiDocument) checkAnswer(method, path string, answer *http.Response, text string) {
	d.t.Helper()
	status := http.StatusText(answer.StatusCode)
	code := strings.Fields(answer.Status)[0]
	promised, ok := d.paths[path][strings.ToLower(method)].Responses[code]
	kind, _, _ := strings.Cut(answer.Header.Get("Content-Type"), ";")
	if !ok || promised.Content[kind] == nil {
		d.t.Errorf("%s %s: %s %s %s is not promised", method, path, code, status, kind)
		return
	}
	if !strings.HasSuffix(kind, "json") {
		return
	}
	schema, err := d.compiler.Compile(jsonPointer("paths", path, strings.ToLower(method), "responses", code, "content", kind, "schema"))
	if err != nil {
		d.t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		d.t.Fatalf("%s %s: %v: %s", method, path, err, text)
	}
	if err := schema.Validate(value); err != nil {
		d.t.Errorf("%s %s: %v in\n%.2000s", method, path, err, text)
	}
}

// Every path of the document is there, and answers as it says; there are no others.
func TestAnswersAreWhatTheDocumentPromises(t *testing.T) {
	d := readDocument(t)
	s := openFixture(t, 120, withGroups)
	s.connectAgents(1, 100)
	s.reportSightings(detector.SawShutdown, 1)
	s.reportSightings(detector.SawClosed, 50)
	tried := map[string]bool{}
	const silences, oneSilence = "/api/v1/silences", "/api/v1/silences/{id}"
	for _, c := range []struct{ method, path, target, body string }{
		{"GET", silences, silences, ""},
		{"POST", silences, silences, `{"agent":"host-*","for":"2h","comment":"c","by":"alice"}`},
		{"POST", silences, silences, `{"all":true,"weekly":"Sun 02:00-04:00 Europe/Berlin","by":"alice"}`},
		{"POST", silences, silences, `{"agent":"host-*"}`},
		{"GET", silences, silences, ""},
		{"GET", silences, silences + "?a=b", ""},
		{"DELETE", oneSilence, silences + "/1?by=bob", ""},
		{"DELETE", oneSilence, silences + "/1?by=bob", ""},
		{"DELETE", oneSilence, silences + "/9?by=bob", ""},
		{"DELETE", oneSilence, silences + "/2", ""},
		{"GET", silences, silences, ""},
		{"GET", "/api/v1/agents", "/api/v1/agents?limit=50", ""},
		{"GET", "/api/v1/agents", "/api/v1/agents?status=active&sort=-rtt", ""},
		{"GET", "/api/v1/agents", "/api/v1/agents?status=asleep", ""},
		{"POST", "/api/v1/agents/{id}/ping", "/api/v1/agents/002/ping", ""},
		{"POST", "/api/v1/agents/{id}/ping", "/api/v1/agents/120/ping", ""},
		{"POST", "/api/v1/agents/{id}/ping", "/api/v1/agents/121/ping", ""},
		{"POST", "/api/v1/agents/{id}/ping", "/api/v1/agents/x/ping", ""},
		{"GET", "/api/v1/agents/{id}", "/api/v1/agents/002", ""},
		{"GET", "/api/v1/agents/{id}", "/api/v1/agents/001", ""},
		{"GET", "/api/v1/agents/{id}", "/api/v1/agents/119", ""},
		{"GET", "/api/v1/agents/{id}", "/api/v1/agents/121", ""},
		{"GET", "/api/v1/agents/{id}", "/api/v1/agents/x", ""},
		{"GET", "/api/v1/map", "/api/v1/map", ""},
		{"GET", "/api/v1/times", "/api/v1/times", ""},
		{"GET", "/api/v1/day", "/api/v1/day", ""},
		{"GET", "/api/v1/agents/{id}/day", "/api/v1/agents/001/day", ""},
		{"GET", "/api/v1/agents/{id}/day", "/api/v1/agents/121/day", ""},
		{"GET", "/api/v1/agents/{id}/day", "/api/v1/agents/x/day", ""},
		{"GET", "/api/v1/changes", "/api/v1/changes", ""},
		{"GET", "/api/v1/changes", "/api/v1/changes?limit=x", ""},
		{"GET", "/api/v1/status", "/api/v1/status", ""},
		{"GET", "/api/v1/nodes", "/api/v1/nodes", ""},
		{"GET", "/api/v1/series", "/api/v1/series", ""},
		{"GET", "/api/v1/openapi.json", "/api/v1/openapi.json", ""},
		{"GET", "/healthz", "/healthz", ""}, {"GET", "/readyz", "/readyz", ""}, {"GET", "/metrics", "/metrics", ""},
	} {
		answer, text := s.sendBody(c.method, c.target, c.body, "Pulse-Request", "1")
		d.checkAnswer(c.method, c.path, answer, text)
		tried[c.path] = true
	}
	l := s.openEvents("7-10")
	l.nextEvent("hello")
	tried["/api/v1/events"] = true
	for path := range d.paths {
		if !tried[path] {
			t.Errorf("%s is not tried", path)
		}
	}
	s.checkStream(d, l)
}

// checkStream checks what is told in the stream of events.
func (s *fixture) checkStream(d *apiDocument, l *eventReader) {
	for kind, schema := range map[string]string{"changes": "Event"} {
		compiled, err := d.compiler.Compile(jsonPointer("components", "schemas", schema))
		if err != nil {
			d.t.Fatal(err)
		}
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(l.nextEvent(kind).data))
		if err != nil {
			d.t.Fatal(err)
		}
		for _, one := range value.([]any) {
			if err := compiled.Validate(one); err != nil {
				d.t.Errorf("%v", err)
			}
		}
	}
	compiled, err := d.compiler.Compile(jsonPointer("components", "schemas", "Summary"))
	if err != nil {
		d.t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(l.nextEvent("status").data))
	if err == nil {
		err = compiled.Validate(value)
	}
	if err != nil {
		d.t.Errorf("%v", err)
	}
}

// Everything that the document says is a schema or a reference to one.
func TestTheDocumentHoldsTogether(t *testing.T) {
	d := readDocument(t)
	if d.raw["openapi"] != "3.1.0" {
		t.Errorf("%v", d.raw["openapi"])
	}
	schemas := d.raw["components"].(map[string]any)["schemas"].(map[string]any)
	for name := range schemas {
		if _, err := d.compiler.Compile(jsonPointer("components", "schemas", name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.Contains(openAPI, []byte(`"#/components/schemas/`+name+`"`)) && name != "Summary" { // that is in the stream
			t.Errorf("nothing refers to %s", name)
		}
	}
}
