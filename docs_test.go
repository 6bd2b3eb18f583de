package pulse_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/daemon"
	"github.com/wazuh-pulse/pulse/internal/remote"
	"github.com/wazuh-pulse/pulse/schema"
)

// pages are all of the documentation.
func pages(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	return append(all, "README.md", "CHANGELOG.md")
}

func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var jsonBlock = regexp.MustCompile("(?s)```json\n(.*?)```")

// Every example in docs/messages.md fits its schema, and each kind of message has one.
func TestTheExamplesFitTheirSchemas(t *testing.T) {
	schemas := map[string]string{"event": "keepalive", "status_change": "status_change", "manager_status": "manager_status",
		"fleet_outage": "fleet_outage", "fleet_recovered": "fleet_outage", "agent_flapping": "agent_flapping", "node_condition": "node_condition",
		"node_lost": "node_lost", "node_back": "node_lost", "agent_duplicated": "agent_duplicated",
		"agent_id": "agent_state"}
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
			shown[part] = true
			doc, err := jsonschema.UnmarshalJSON(strings.NewReader(block[1]))
			if err != nil {
				t.Fatal(err)
			}
			if err := compiled(t, name).Validate(doc); err != nil {
				t.Errorf("%v in\n%s", err, block[1])
			}
		}
	}
	for part := range schemas {
		if !shown[part] {
			t.Errorf("no example of %s", part)
		}
	}
}

// section is the part of a page under a heading of the second level.
func section(t *testing.T, name, heading string) string {
	t.Helper()
	_, text, ok := strings.Cut(page(t, name), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("%s has no section %q", name, heading)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	return text
}

// Every field of every message has a row in its section of docs/messages.md.
func TestEveryFieldIsExplained(t *testing.T) {
	sections := map[string]string{"event": "Keep-alive event", "status_change": "Status change", "manager_status": "Manager heartbeat",
		"fleet_outage": "Fleet outage", "fleet_recovered": "Fleet outage", "agent_flapping": "Flapping agent", "node_condition": "Condition of a node",
		"node_lost": "Loss of a node", "node_back": "Loss of a node", "agent_duplicated": "Duplicated agent", "security": "Which message is it"}
	files, err := schema.Files.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		s := compiled(t, strings.TrimSuffix(f.Name(), ".schema.json"))
		if s.Properties["agent_id"] != nil { // a value, not a message
			for field := range s.Properties {
				if !strings.Contains(section(t, "docs/messages.md", "Agent state"), "| `"+field+"` |") {
					t.Errorf("%s: %s has no row", f.Name(), field)
				}
			}
			continue
		}
		for part, body := range s.Properties {
			text := section(t, "docs/messages.md", sections[part])
			for field := range body.Properties {
				if !strings.Contains(text, "| `"+field+"` |") {
					t.Errorf("%s: %s.%s has no row", f.Name(), part, field)
				}
			}
		}
	}
	for _, reason := range []event.Reason{event.Startup, event.Connected, event.Reconnected, event.KeepAliveTimeout, event.MissedKeepAlives,
		event.ConnectionLost, event.AgentShutdown, event.AgentRemoved, event.AgentMoved, event.NodeLost} {
		for _, name := range []string{"docs/messages.md", "docs/operators.md"} {
			if !strings.Contains(page(t, name), "`"+string(reason)+"`") {
				t.Errorf("%s does not explain the reason %s", name, reason)
			}
		}
	}
}

var xmlBlock = regexp.MustCompile("(?s)```xml\n(.*?)```")

// Every settings file that is shown can be used as it is.
func TestTheExamplesOfSettingsLoad(t *testing.T) {
	for _, name := range []string{"README.md", "docs/settings.md", "docs/operators.md", "docs/dashboard.md"} {
		blocks := xmlBlock.FindAllStringSubmatch(page(t, name), -1)
		if len(blocks) == 0 {
			t.Errorf("%s shows no settings", name)
		}
		for _, block := range blocks {
			file := filepath.Join(t.TempDir(), "pulse.conf")
			if err := os.WriteFile(file, []byte(block[1]), 0o600); err != nil {
				t.Fatal(err)
			}
			if loaded, err := config.Load(file); err != nil || len(loaded.Warnings) > 0 {
				t.Errorf("%s: %v, %v in\n%s", name, err, loaded, block[1])
			}
		}
	}
}

// The settings file of the packages is one of defaults, with nothing to complain of.
func TestThePackagedSettingsAreDefaults(t *testing.T) {
	loaded, err := config.Load("deploy/pulse.conf")
	if err != nil || len(loaded.Warnings) > 0 {
		t.Fatal(err, loaded)
	}
	if diff := gocmp.Diff(config.Default(), loaded.Config, gocmp.AllowUnexported(config.Config{}), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("deploy/pulse.conf (- default, + there):\n%s", diff)
	}
}

// The architecture names every package of the house.
func TestTheArchitectureHasEveryPackage(t *testing.T) {
	text := page(t, "docs/architecture.md")
	for _, p := range packages(t) {
		if !strings.Contains(text, "[`"+p.name()+"`](../"+p.name()+")") {
			t.Errorf("docs/architecture.md does not say what %s is", p.name())
		}
	}
}

// Every problem with the NATS server has a row.
func TestEveryProblemOfTheNATSServerIsExplained(t *testing.T) {
	text := section(t, "docs/operators.md", "Login and TLS")
	for _, p := range remote.Problems() {
		if !strings.Contains(text, "\n| `"+string(p)+"` | ") {
			t.Errorf("docs/operators.md has no row for %s", p)
		}
	}
}

// Every condition of a node has a row.
func TestEveryConditionOfANodeIsExplained(t *testing.T) {
	text := section(t, "docs/messages.md", "Condition of a node")
	for _, code := range daemon.ConditionCodes() {
		if !strings.Contains(text, "\n| `"+code+"` | ") {
			t.Errorf("docs/messages.md has no row for %s", code)
		}
	}
}

// auditKinds are the kinds of line that the packages of the audit log have names for.
func auditKinds(t *testing.T) (kinds []string) {
	t.Helper()
	for dir, prefix := range map[string]string{"internal/audit": "Kind", "internal/audittrail": "kind"} {
		files, err := filepath.Glob(dir + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				c, ok := n.(*ast.ValueSpec)
				if !ok || len(c.Values) != 1 || !strings.HasPrefix(c.Names[0].Name, prefix) {
					return true
				}
				if text, ok := c.Values[0].(*ast.BasicLit); ok && text.Kind == token.STRING {
					kinds = append(kinds, strings.Trim(text.Value, `"`))
				}
				return false
			})
		}
	}
	return kinds
}

// The table of kinds has every one, and no others.
func TestEveryKindOfAuditLineIsExplained(t *testing.T) {
	var got []string
	_, table, _ := strings.Cut(section(t, "docs/operators.md", "The audit log"), "\n| --- | --- |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	for line := range strings.Lines(table) {
		first, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " | ")
		for _, kind := range strings.Split(first, ", ") {
			got = append(got, strings.Trim(kind, "`"))
		}
	}
	want := auditKinds(t)
	if len(want) < 20 {
		t.Errorf("only %d kinds are found: %q", len(want), want)
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("docs/operators.md (- want, + got):\n%s", diff)
	}
}

var (
	testLink   = regexp.MustCompile("\\[`((?:Test|Fuzz)\\w+)`\\]\\(\\.\\./([^)]+)\\)")
	measureRow = regexp.MustCompile(`(?m)^\| [^|]+ \| [^|]+ \| ([^|]+) \|$`)
)

// Every test that a claim of docs/security.md names is there, and every measure
// names one, or says that none can hold it.
func TestEveryClaimAboutSecurityHasItsTest(t *testing.T) {
	text := page(t, "docs/security.md")
	links := testLink.FindAllStringSubmatch(text, -1)
	if len(links) < 40 {
		t.Errorf("only %d tests are named", len(links))
	}
	for _, link := range links {
		if !strings.Contains(page(t, link[2]), "\nfunc "+link[1]+"(") {
			t.Errorf("docs/security.md names %s in %s: it is not there", link[1], link[2])
		}
	}
	for _, row := range measureRow.FindAllStringSubmatch(text, -1) {
		held := testLink.MatchString(row[1]) || strings.Contains(row[1], ".txtar)") || strings.HasPrefix(row[1], "not by a test: ")
		if !held && row[1] != "test" && !strings.HasPrefix(row[1], "---") {
			t.Errorf("docs/security.md: no test in %s", row[0])
		}
	}
}

var anchor = regexp.MustCompile(`\]\(([^)#:]*)#([^)]*)\)`)

// slug is what a heading is linked by.
func slug(heading string) string {
	heading = regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(strings.TrimSpace(heading)), "")
	return strings.ReplaceAll(heading, " ", "-")
}

// Every link to a part of a page leads to a heading.
func TestLinksLeadToHeadings(t *testing.T) {
	for _, name := range pages(t) {
		for _, to := range anchor.FindAllStringSubmatch(page(t, name), -1) {
			target := name
			if to[1] != "" {
				target = filepath.Join(filepath.Dir(name), to[1])
			}
			found := false
			for line := range strings.Lines(page(t, target)) {
				_, heading, ok := strings.Cut(line, "# ")
				found = found || ok && strings.HasPrefix(line, "#") && slug(heading) == to[2]
			}
			if !found {
				t.Errorf("%s links to %s#%s: there is no such heading", name, target, to[2])
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
	for _, name := range pages(t) {
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

// said is a message for the log, where it is a text and not made of several.
var said = regexp.MustCompile(`\.(?:Info|Warn|Error|Log)\((?:context\.Background\(\), level, )?("(?:[^"\\]|\\.)*")`)

// The manuals explain every message of the daemon's log, or the first words of it, by
// which it is found.
func TestEveryMessageOfTheLogIsExplained(t *testing.T) {
	manual := page(t, "docs/operators.md") + page(t, "docs/wazuh.md")
	found := 0
	if err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{"internal/demo", "internal/bench", "internal/agentsim", "internal/managersim"}, path):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		for _, m := range said.FindAllStringSubmatch(page(t, path), -1) {
			text, err := strconv.Unquote(m[1])
			if err != nil {
				return err
			}
			found++
			first, _, _ := strings.Cut(text, ":")
			first, _, _ = strings.Cut(first, ";")
			if !strings.Contains(manual, "`"+strings.TrimSpace(first)) {
				t.Errorf("neither docs/operators.md nor docs/wazuh.md explains %q (%s)", text, path)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if found < 50 {
		t.Errorf("found %d messages only", found)
	}
}

var tableWord = regexp.MustCompile("`([a-z_.]+)`")

// What the table for ECS is made from are fields that a status change has.
func TestTheTableForECSNamesFieldsOfMessages(t *testing.T) {
	_, table, _ := strings.Cut(page(t, "docs/ocsf.md"), "\n## ECS\n")
	values := []string{"alert", "state", "pulse", "pulse.status_change", "wazuh", "any", "security"} // no fields
	text := page(t, "schema/status_change.schema.json")
	fields := 0
	for line := range strings.SplitSeq(table, "\n") {
		cells := strings.Split(line, " | ")
		if !strings.HasPrefix(line, "| `") || len(cells) != 2 {
			continue
		}
		for _, word := range tableWord.FindAllStringSubmatch(cells[1], -1) {
			if slices.Contains(values, word[1]) {
				continue
			}
			for part := range strings.SplitSeq(word[1], ".") {
				if fields++; !strings.Contains(text, `"`+part+`": {`) {
					t.Errorf("%s: the schema has no %s", line, part)
				}
			}
		}
	}
	if fields < 15 {
		t.Errorf("%d fields in the table", fields)
	}
}
