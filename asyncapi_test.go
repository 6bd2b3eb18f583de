package pulse_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/wazuh-pulse/pulse/event"
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

	prefix := event.Prefix("{prefix}")
	want := []string{prefix.KeepAlive("{agentId}"), prefix.StatusChange("{agentId}"), prefix.ManagerStatus("{node}"),
		prefix.AgentDisconnected(), prefix.FleetOutage(), prefix.AgentFlapping(), prefix.NodeCondition(), prefix.NodeLost(), prefix.AgentDuplicated(), "$KV." + event.AgentsBucket + ".{agentId}"}
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
