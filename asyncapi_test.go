package pulse_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/event/ocsf"
	"github.com/wazuh-pulse/pulse/internal/keys"
	"github.com/wazuh-pulse/pulse/internal/republisher"
	"github.com/wazuh-pulse/pulse/schema"
)

type asyncAPI struct {
	AsyncAPI string `json:"asyncapi"`
	Channels map[string]struct {
		Address    string         `json:"address"`
		Messages   map[string]ref `json:"messages"`
		Parameters map[string]ref `json:"parameters"`
	} `json:"channels"`
	Operations map[string]struct {
		Channel ref `json:"channel"`
	} `json:"operations"`
	Components struct {
		Parameters map[string]any `json:"parameters"`
		Messages   map[string]struct {
			Payload struct {
				Schema ref `json:"schema"`
			} `json:"payload"`
		} `json:"messages"`
	} `json:"components"`
}

type ref struct {
	To string `json:"$ref"`
}

// parameter is one in an address.
var parameter = regexp.MustCompile(`\{(\w+)\}`)

// docs/asyncapi.json has every subject and every schema, and each of its references leads somewhere.
func TestTheAsyncAPIDocumentHasEverySubjectAndSchema(t *testing.T) {
	text := page(t, "docs/asyncapi.json")
	var doc asyncAPI
	var whole any
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(text), &whole); err != nil {
		t.Fatal(err)
	}
	for _, to := range references(whole) {
		if file, ok := strings.CutPrefix(to, "#/"); ok {
			if !leads(whole, strings.Split(file, "/")) {
				t.Errorf("%s leads nowhere", to)
			}
		} else if _, err := os.Stat(filepath.Join("docs", to)); err != nil {
			t.Error(err)
		}
	}

	want := append(listMessageSubjects("{prefix}"), "$KV."+event.AgentsBucket+".{agentId}", "$KV."+keys.Bucket+".{node}",
		republisher.Subject("{ocsfSubject}", "{node}", "{agentId}"), republisher.Subject("{ocsfSubject}", "{node}", ""))
	var got, sent []string
	for name, c := range doc.Channels {
		got = append(got, c.Address)
		for _, p := range parameter.FindAllStringSubmatch(c.Address, -1) {
			if c.Parameters[p[1]].To == "" {
				t.Errorf("channel %s does not say what %s is", name, p[1])
			}
		}
	}
	for _, o := range doc.Operations {
		sent = append(sent, strings.TrimPrefix(o.Channel.To, "#/channels/"))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("channels %q, want %q", got, want)
	}
	if len(sent) != len(doc.Channels) {
		t.Errorf("%d channels, and operations for %q", len(doc.Channels), sent)
	}

	files, err := schema.Files.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		found := false
		for _, m := range doc.Components.Messages {
			found = found || m.Payload.Schema.To == "../schema/"+f.Name()
		}
		if !found {
			t.Errorf("no message has %s", f.Name())
		}
	}
}

// listMessageSubjects returns the subject of each kind of message: what the methods of [event.Prefix] return.
func listMessageSubjects(prefix event.Prefix) (subjects []string) {
	for name, method := range reflect.ValueOf(prefix).Methods() {
		switch subject := method.Interface().(type) {
		case func() string:
			if name.Name != "All" && name.Name != "StatusChanges" { // patterns
				subjects = append(subjects, subject())
			}
		case func(string) string:
			of := "{agentId}"
			if name.Name == "ManagerStatus" {
				of = "{node}"
			}
			subjects = append(subjects, subject(of))
		}
	}
	return subjects
}

func TestEventsOfOCSFFitTheAsyncAPIDocument(t *testing.T) {
	var doc struct {
		Components struct {
			Messages map[string]struct {
				Payload struct {
					Schema any `json:"schema"`
				} `json:"payload"`
			} `json:"messages"`
		} `json:"components"`
	}
	if err := json.Unmarshal([]byte(page(t, "docs/asyncapi.json")), &doc); err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("mem:///ocsf", doc.Components.Messages["ocsfEvent"].Payload.Schema); err != nil {
		t.Fatal(err)
	}
	fits, err := c.Compile("mem:///ocsf")
	if err != nil {
		t.Fatal(err)
	}
	security := event.Security{Node: "node01", Epoch: 1, Sequence: 2}
	change := event.StatusChange{AgentID: "001", AgentName: "web", Timestamp: 1716897300, CurrentStatus: event.Disconnected, Reason: event.ConnectionLost, AlertLevel: 8}
	for _, m := range []event.Message{&event.StatusChangeMessage{StatusChange: change, Security: security},
		&event.NodeLostMessage{Lost: &event.NodeLoss{AnnouncedBy: "node01", Node: "node02", Timestamp: 1716897300, AlertLevel: 13}, Security: security}} {
		events := ocsf.Events(m)
		if len(events) == 0 {
			t.Errorf("%T has no events", m)
		}
		for _, e := range events {
			text, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			if err := fits.Validate(value); err != nil {
				t.Errorf("%s: %v", text, err)
			}
		}
	}
}

// references returns every $ref below a value.
func references(v any) (to []string) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if text, ok := value.(string); ok && key == "$ref" {
				to = append(to, text)
			}
			to = append(to, references(value)...)
		}
	case []any:
		for _, value := range v {
			to = append(to, references(value)...)
		}
	}
	return to
}

func leads(v any, path []string) bool {
	for _, key := range path {
		m, ok := v.(map[string]any)
		if !ok || m[key] == nil {
			return false
		}
		v = m[key]
	}
	return true
}
