package pulse_test

import (
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/schema"
)

func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// docs/settings.md has a row for every setting, in order, with its default, and no others:
// | `name` | default | what it means |
func TestTheReferenceHasEverySetting(t *testing.T) {
	var got, want []string
	var block string
	for line := range strings.Lines(page(t, "docs/settings.md")) {
		if title, ok := strings.CutPrefix(line, "## "); ok {
			block = strings.ReplaceAll(strings.Trim(strings.TrimSpace(title), "`<>"), "><", "/")
		}
		cells := strings.Split(line, " | ")
		if name, ok := strings.CutPrefix(cells[0], "| `"); ok {
			got = append(got, "ossec_config/"+block+"/"+strings.TrimSuffix(name, "`")+" = "+strings.Trim(cells[1], "`"))
		}
	}
	for _, s := range config.Reference() {
		want = append(want, s.Path+" = "+cmp.Or(s.Value, "none"))
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("docs/settings.md (- want, + got):\n%s", diff)
	}
}

var jsonBlock = regexp.MustCompile("(?s)```json\n(.*?)```")

// Every example in docs/messages.md fits its schema, and each schema has one.
func TestTheExamplesFitTheirSchemas(t *testing.T) {
	schemas := map[string]string{"event": "keepalive", "status_change": "status_change", "manager_status": "manager_status",
		"fleet_outage": "fleet_outage", "agent_flapping": "agent_flapping"}
	shown := make(map[string]bool)
	for _, block := range jsonBlock.FindAllStringSubmatch(page(t, "docs/messages.md"), -1) {
		var parts map[string]json.RawMessage
		if err := json.Unmarshal([]byte(block[1]), &parts); err != nil {
			t.Errorf("%v in\n%s", err, block[1])
			continue
		}
		for part, name := range schemas {
			if parts[part] == nil {
				continue
			}
			shown[name] = true
			doc, err := jsonschema.UnmarshalJSON(strings.NewReader(block[1]))
			if err != nil {
				t.Fatal(err)
			}
			if err := compiled(t, name).Validate(doc); err != nil {
				t.Errorf("%v in\n%s", err, block[1])
			}
		}
	}
	for _, name := range schemas {
		if !shown[name] {
			t.Errorf("no example of %s", name)
		}
	}
}

// Every field of every message is explained in docs/messages.md.
func TestEveryFieldIsExplained(t *testing.T) {
	text := page(t, "docs/messages.md")
	files, err := schema.Files.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		s := compiled(t, strings.TrimSuffix(f.Name(), ".schema.json"))
		for part, body := range s.Properties {
			for field := range body.Properties {
				if !strings.Contains(text, "| `"+field+"` |") {
					t.Errorf("%s: %s.%s has no row", f.Name(), part, field)
				}
			}
		}
	}
	for _, reason := range []string{event.Startup, event.Connected, event.Reconnected, event.KeepAliveTimeout, event.MissedKeepAlives,
		event.ConnectionLost, event.AgentShutdown, event.AgentRemoved} {
		for _, name := range []string{"docs/messages.md", "docs/operators.md"} {
			if !strings.Contains(page(t, name), "`"+reason+"`") {
				t.Errorf("%s does not explain the reason %s", name, reason)
			}
		}
	}
}

func compiled(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	f, err := schema.Files.Open(name + ".schema.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(f)
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("mem:///"+name, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("mem:///" + name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var link = regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)

// Every link from one page to another file leads somewhere.
func TestLinksLeadSomewhere(t *testing.T) {
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(pages, "README.md", "CHANGELOG.md") {
		for _, to := range link.FindAllStringSubmatch(page(t, name), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(name), to[1])); err != nil {
				t.Errorf("%s links to %s: %v", name, to[1], err)
			}
		}
	}
}

// The README's two commands, and the version of the changelog.
func TestTheReadmeSaysHowToStart(t *testing.T) {
	for _, command := range []string{"go run ./cmd/pulse demo --for 30s", "go test ./..."} {
		if !strings.Contains(page(t, "README.md"), command) {
			t.Errorf("README.md does not show %s", command)
		}
	}
}
