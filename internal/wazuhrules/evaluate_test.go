package wazuhrules

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// ruleFile is a file of rules, as any parser of XML reads it.
type ruleFile struct {
	XMLName xml.Name  `xml:"group"`
	Name    string    `xml:"name,attr"`
	Rules   []xmlRule `xml:"rule"`
}

// xmlRule is a rule, with the conditions that ours have. Others are an error.
type xmlRule struct {
	XMLName     xml.Name   `xml:"rule"`
	ID          int        `xml:"id,attr"`
	Level       int        `xml:"level,attr"`
	DecodedAs   string     `xml:"decoded_as"`
	Parent      int        `xml:"if_sid"`
	Location    xmlPattern `xml:"location"`
	Fields      []xmlField `xml:"field"`
	Description string     `xml:"description"`
	Mitre       []string   `xml:"mitre>id"`
	Groups      string     `xml:"group"`
	Others      []xmlOther `xml:",any"`
}

type xmlPattern struct {
	Type    string `xml:"type,attr"`
	Pattern string `xml:",chardata"`
}

type xmlField struct {
	xmlPattern
	Name string `xml:"name,attr"`
}

type xmlOther struct{ XMLName xml.Name }

func parseRules(t *testing.T, text []byte) *ruleFile {
	t.Helper()
	f := new(ruleFile)
	if err := xml.Unmarshal(text, f); err != nil {
		t.Fatal(err)
	}
	return f
}

// receivedEvent is an event as analysisd has decoded it.
type receivedEvent struct {
	location string
	decoder  string
	fields   map[string]string
}

// decodeDatagram decodes a datagram as analysisd does with its decoder of JSON.
func decodeDatagram(datagram string) (e receivedEvent, err error) {
	text, ok := strings.CutPrefix(datagram, "1:")
	if !ok {
		return e, fmt.Errorf("%.20q is no event", datagram)
	}
	for i := 0; ; i++ { // to the first colon that is not escaped
		if i >= len(text) {
			return e, fmt.Errorf("%.60q has no location", datagram)
		}
		if text[i] == '|' {
			i++
		} else if text[i] == ':' {
			e.location, text = strings.NewReplacer("||", "|", "|:", ":").Replace(text[:i]), text[i+1:]
			break
		}
	}
	if agent, rest, found := strings.Cut(e.location, "] "); found && strings.HasPrefix(agent, "[") {
		e.location = rest
	}
	if !strings.HasPrefix(text, `{"`) {
		return e, nil
	}
	var members map[string]any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	e.decoder, e.fields = "json", make(map[string]string)
	err = d.Decode(&members)
	flattenMembers(e.fields, "", members)
	return e, err
}

func flattenMembers(to map[string]string, prefix string, members map[string]any) {
	for name, value := range members {
		switch value := value.(type) {
		case map[string]any:
			flattenMembers(to, prefix+name+".", value)
		case []any:
			text, _ := json.Marshal(value)
			to[prefix+name] = string(text)
		default:
			to[prefix+name] = fmt.Sprint(value)
		}
	}
}

func (p *xmlPattern) matches(text string) bool {
	if p.Type != "pcre2" {
		panic("not understood here: type " + p.Type)
	}
	return regexp.MustCompile(p.Pattern).MatchString(text)
}

// matches reports whether a rule's own conditions hold, without its parent's.
func (r *xmlRule) matches(e *receivedEvent) bool {
	if r.DecodedAs != "" && r.DecodedAs != e.decoder || r.Location.Pattern != "" && !r.Location.matches(e.location) {
		return false
	}
	for i := range r.Fields {
		value, has := e.fields[r.Fields[i].Name]
		if !has || !r.Fields[i].matches(value) {
			return false
		}
	}
	return true
}

// findRule returns the rule that makes the alert of an event, nil for none, and fails
// the test if more than one could.
func (f *ruleFile) findRule(t *testing.T, datagram string) (last *xmlRule) {
	t.Helper()
	e, err := decodeDatagram(datagram)
	if err != nil {
		t.Fatal(err)
	}
	for parent := 0; ; parent = last.ID {
		var found []*xmlRule
		for i := range f.Rules {
			if r := &f.Rules[i]; r.Parent == parent && r.matches(&e) {
				found = append(found, r)
			}
		}
		if len(found) > 1 {
			t.Fatalf("rules %d and %d of %d both match %s", found[0].ID, found[1].ID, parent, datagram)
		}
		if len(found) == 0 {
			return last
		}
		last = found[0]
	}
}
