package ocsf

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// schemaDir holds the parts of the published schema, version 1.8.0, that the classes
// which Pulse uses refer to, with its licence. Nothing in it is changed.
const schemaDir = "testdata/ocsf-1.8.0"

// ocsfSchema validates events by the schema's own files.
type ocsfSchema struct {
	t          *testing.T
	attributes map[string]attribute // the dictionary
	types      map[string]valueType
}

type attribute struct {
	Type        string               `json:"type"`
	IsArray     bool                 `json:"is_array"`
	Requirement string               `json:"requirement"`
	Enum        map[string]enumValue `json:"enum"`
	Profile     *string              `json:"profile"`
}

type enumValue struct {
	Caption string `json:"caption"`
}

type valueType struct {
	Type  string `json:"type"`
	Regex string `json:"regex"`
}

// definition is a class, an object or a profile.
type definition struct {
	UID         int                        `json:"uid"`
	Caption     string                     `json:"caption"`
	Category    string                     `json:"category"`
	Extends     string                     `json:"extends"`
	Attributes  map[string]json.RawMessage `json:"attributes"`
	Constraints map[string][]string        `json:"constraints"`

	own map[string]attribute // with what is inherited and included
}

func openSchema(t *testing.T) *ocsfSchema {
	var dictionary struct {
		Attributes map[string]attribute
		Types      struct{ Attributes map[string]valueType }
	}
	readSchemaFile(t, "dictionary.json", &dictionary)
	return &ocsfSchema{t, dictionary.Attributes, dictionary.Types.Attributes}
}

func readSchemaFile(t *testing.T, name string, into any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(schemaDir, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// loadDefinition reads a definition with everything that it extends. Profiles that were
// included count only where profiles names them.
func (s *ocsfSchema) loadDefinition(path string, profiles []string) *definition {
	s.t.Helper()
	d := new(definition)
	readSchemaFile(s.t, path, d)
	d.own = make(map[string]attribute)
	if d.Extends != "" && d.Extends != "object" {
		parent := s.loadDefinition(findDefinition(s.t, path, d.Extends), profiles)
		maps.Copy(d.own, parent.own)
		if d.Category == "" {
			d.Category = parent.Category
		}
		if d.Constraints == nil {
			d.Constraints = parent.Constraints
		}
	}
	for _, p := range profiles {
		var profile definition
		readSchemaFile(s.t, "profiles/"+p+".json", &profile)
		s.addAttributes(d, profile.Attributes)
	}
	s.addAttributes(d, d.Attributes)
	return d
}

func (s *ocsfSchema) addAttributes(d *definition, attributes map[string]json.RawMessage) {
	for name, raw := range attributes {
		if name == "$include" {
			continue // a profile: see loadDefinition
		}
		a, known := d.own[name]
		if !known {
			a = s.attributes[name]
			a.Enum = maps.Clone(a.Enum)
		}
		enum := a.Enum
		if err := json.Unmarshal(raw, &a); err != nil {
			s.t.Fatalf("%s: %v", name, err)
		}
		a.Enum = maps.Clone(enum)
		if a.Enum == nil {
			a.Enum = make(map[string]enumValue)
		}
		var own attribute
		json.Unmarshal(raw, &own)
		maps.Copy(a.Enum, own.Enum)
		d.own[name] = a
	}
}

// findDefinition returns the path of what a definition at path extends.
func findDefinition(t *testing.T, path, name string) string {
	for _, dir := range []string{filepath.Dir(path), filepath.Dir(filepath.Dir(path))} {
		candidate := filepath.Join(dir, name+".json")
		if _, err := os.Stat(filepath.Join(schemaDir, candidate)); err == nil {
			return candidate
		}
	}
	t.Fatalf("%s extends %s, which is not here", path, name)
	return ""
}

// classFiles are the classes that are validated, by their numbers.
var classFiles = map[int]string{6002: "events/application/application_lifecycle.json", 2004: "events/findings/detection_finding.json",
	2005: "events/findings/incident_finding.json"}

// validateEvent returns what is wrong with an event, by the files of the schema.
func (s *ocsfSchema) validateEvent(data []byte) []string {
	var e map[string]any
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.UseNumber()
	if err := decoder.Decode(&e); err != nil {
		return []string{err.Error()}
	}
	number := func(name string) int {
		n, _ := e[name].(json.Number)
		i, _ := strconv.Atoi(n.String())
		return i
	}
	path := classFiles[number("class_uid")]
	if path == "" {
		return []string{fmt.Sprintf("class %v is not known", e["class_uid"])}
	}
	var profiles []string
	if m, _ := e["metadata"].(map[string]any); m != nil {
		list, _ := m["profiles"].([]any)
		for _, p := range list {
			profiles = append(profiles, fmt.Sprint(p))
		}
	}
	c := s.loadDefinition(path, profiles)
	var categories struct {
		Attributes map[string]struct {
			UID     int
			Caption string
		}
	}
	readSchemaFile(s.t, "categories.json", &categories)
	category := categories.Attributes[c.Category]
	var wrong []string
	if want := category.UID*1000 + c.UID; number("class_uid") != want || number("category_uid") != category.UID {
		wrong = append(wrong, fmt.Sprintf("class %v of category %v, want %d of %d", e["class_uid"], e["category_uid"], want, category.UID))
	}
	if number("type_uid") != number("class_uid")*100+number("activity_id") {
		wrong = append(wrong, fmt.Sprintf("type_uid %v", e["type_uid"]))
	}
	if e["class_name"] != c.Caption || e["category_name"] != category.Caption {
		wrong = append(wrong, fmt.Sprintf("names %v, %v", e["class_name"], e["category_name"]))
	}
	if a := c.own["activity_id"].Enum[fmt.Sprint(number("activity_id"))]; number("activity_id") != otherActivity && e["activity_name"] != a.Caption {
		wrong = append(wrong, fmt.Sprintf("activity_name %v, want %s", e["activity_name"], a.Caption))
	}
	delete(c.own["class_uid"].Enum, "0")
	for _, name := range []string{"class_uid", "category_uid", "type_uid"} {
		a := c.own[name]
		a.Enum = nil // checked above
		c.own[name] = a
	}
	return append(wrong, s.validateObject("", e, c)...)
}

func (s *ocsfSchema) validateObject(at string, object map[string]any, d *definition) []string {
	var wrong []string
	for name, value := range object {
		a, ok := d.own[name]
		if !ok {
			wrong = append(wrong, at+name+" is no attribute")
			continue
		}
		list, isList := value.([]any)
		if isList != a.IsArray {
			wrong = append(wrong, fmt.Sprintf("%s%s is an array: %v", at, name, isList))
			continue
		}
		if !isList {
			list = []any{value}
		}
		for _, v := range list {
			wrong = append(wrong, s.validateValue(at+name, v, a)...)
		}
	}
	for name, a := range d.own {
		if _, ok := object[name]; !ok && a.Requirement == "required" {
			wrong = append(wrong, at+name+" is missing")
		}
	}
	if names := d.Constraints["at_least_one"]; len(names) > 0 {
		found := false
		for _, n := range names {
			_, ok := object[n]
			found = found || ok
		}
		if !found {
			wrong = append(wrong, fmt.Sprintf("%s: none of %v", at, names))
		}
	}
	return wrong
}

func (s *ocsfSchema) validateValue(at string, value any, a attribute) []string {
	object, isObject := value.(map[string]any)
	t, isScalar := s.types[a.Type]
	if isScalar == isObject {
		return []string{fmt.Sprintf("%s is %T, want %s", at, value, a.Type)}
	}
	if isObject {
		if a.Type == "object" {
			return nil // anything
		}
		return s.validateObject(at+".", object, s.loadDefinition("objects/"+a.Type+".json", nil))
	}
	base := a.Type
	for t.Type != "" {
		base = t.Type
		t = s.types[base]
	}
	var ok bool
	switch base {
	case "string_t":
		_, ok = value.(string)
	case "integer_t", "long_t":
		n, isNumber := value.(json.Number)
		_, err := n.Int64()
		ok = isNumber && err == nil
	case "boolean_t":
		_, ok = value.(bool)
	}
	if !ok {
		return []string{fmt.Sprintf("%s is %v, want %s", at, value, a.Type)}
	}
	if r := s.types[a.Type].Regex; r != "" && !regexp.MustCompile(r).MatchString(fmt.Sprint(value)) {
		return []string{fmt.Sprintf("%s: %q is no %s", at, value, a.Type)}
	}
	if _, ok := a.Enum[fmt.Sprint(value)]; len(a.Enum) > 0 && !ok && base == "integer_t" {
		return []string{fmt.Sprintf("%s: %v is none of the enumeration", at, value)}
	}
	return nil
}
