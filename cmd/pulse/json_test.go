package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/wazuh-pulse/pulse/internal/demo"
	"github.com/wazuh-pulse/pulse/schema"
)

// compileSchema returns a schema of a command, or of a message.
func compileSchema(name string) (*jsonschema.Schema, error) {
	f, err := schema.CLI.Open("cli/" + name + ".schema.json")
	if err != nil {
		f, err = schema.Files.Open(name + ".schema.json")
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	doc, err := jsonschema.UnmarshalJSON(f)
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("mem:///"+name, doc); err != nil {
		return nil, err
	}
	return c.Compile("mem:///" + name)
}

var (
	snakeCase = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	looksTime = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:`)
)

// messageNames has the schemas of messages by the member that holds what they are about.
var messageNames = map[string]string{"event": "keepalive", "status_change": "status_change", "manager_status": "manager_status", "node_condition": "node_condition"}

// followingLine is standard error's, which a program beside the script writes to the same place.
var followingLine = regexp.MustCompile(`(?m)^following .*, Ctrl-C ends\n`)

// fits checks each value of the output. Of several schemas it has to fit one: that of the message's name.
func fits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: fits SCHEMA...")
	}
	schemas := map[string]*jsonschema.Schema{}
	for _, name := range args {
		s, err := compileSchema(name)
		ts.Check(err)
		schemas[name] = s
	}
	text := followingLine.ReplaceAllString(ts.ReadFile("stdout"), "")
	values := 0
	for d := json.NewDecoder(strings.NewReader(text)); ; values++ {
		d.UseNumber()
		var value map[string]any
		err := d.Decode(&value)
		if errors.Is(err, io.EOF) {
			break
		}
		ts.Check(err)
		s := schemas[args[0]]
		for name := range value {
			if m := schemas[messageNames[name]]; m != nil {
				s = m
			}
		}
		ts.Check(s.Validate(value))
		for _, problem := range findStrangeFields(value, s, "") {
			ts.Fatalf("%s", problem)
		}
	}
	if lines := strings.Count(text, "\n"); values == 0 || values > 1 && lines != values {
		ts.Fatalf("%d values in %d lines: want one object, or one a line", values, lines)
	}
}

// findStrangeFields returns the fields that are not in the schema or have another kind of name, and times that are not in UTC.
func findStrangeFields(value any, s *jsonschema.Schema, at string) (problems []string) {
	switch value := value.(type) {
	case map[string]any:
		for name, member := range value {
			below := memberSchema(s, value, name)
			switch {
			case below == nil && s != nil:
				problems = append(problems, at+"/"+name+" is not in the schema")
			case s != nil && s.Properties[name] != nil && !snakeCase.MatchString(name):
				problems = append(problems, at+"/"+name+" is not in snake case")
			}
			problems = append(problems, findStrangeFields(member, below, at+"/"+name)...)
		}
	case []any:
		for _, member := range value {
			problems = append(problems, findStrangeFields(member, itemSchema(s), at+"[]")...)
		}
	case string:
		if looksTime.MatchString(value) && !strings.HasSuffix(value, "Z") {
			problems = append(problems, at+": "+value+" is not in UTC")
		}
	}
	return problems
}

// anyValue is the schema of what may be anything.
var anyValue = &jsonschema.Schema{}

func memberSchema(s *jsonschema.Schema, value map[string]any, name string) *jsonschema.Schema {
	if s == nil || s == anyValue {
		return anyValue
	}
	for _, one := range s.OneOf {
		if len(s.Properties) == 0 && one.Validate(value) == nil {
			return memberSchema(one, value, name)
		}
	}
	if below := s.Properties[name]; below != nil {
		return below
	}
	if below, ok := s.AdditionalProperties.(*jsonschema.Schema); ok {
		return below
	}
	if open, ok := s.AdditionalProperties.(bool); ok && open {
		return anyValue
	}
	return nil
}

func itemSchema(s *jsonschema.Schema) *jsonschema.Schema {
	if s != nil {
		if below, ok := s.Items.(*jsonschema.Schema); ok {
			return below
		}
		if s.Items2020 != nil {
			return s.Items2020
		}
	}
	return anyValue
}

// withoutJSON are the commands that have no --json, and why.
var withoutJSON = map[string]string{
	"run":         "its log is JSON",
	"top":         "it is a screen",
	"keys export": "it prints a JWKS",
	"wazuh-rules": "it prints a file of rules",
	"help":        "it is for people",
	"completion":  "it prints shell code",
}

func TestEveryCommandHasJSONWithASchemaAndARowInItsPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/cli-json.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"demo_cluster": true, "events_stored": true} // of other flags
	for _, command := range newParser(nil).Model.Leaves(true) {
		words := strings.TrimPrefix(command.FullPath(), "pulse ")
		if has := hasFlag(command, "json"); !has || withoutJSON[words] != "" {
			if has == (withoutJSON[words] != "") {
				t.Errorf("%s: has --json: %v; %s", words, has, withoutJSON[words])
			}
			continue
		}
		if !regexp.MustCompile("(?m)^\\| [^|]*`" + words + "`").Match(page) {
			t.Errorf("docs/cli-json.md has no row of %s", words)
		}
		if name := strings.ReplaceAll(words, " ", "_"); name != "events" { // its lines are messages
			known[name] = true
		}
	}
	files, err := schema.CLI.ReadDir("cli")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(f.Name(), ".schema.json")
		if !known[name] {
			t.Errorf("%s is the schema of no command", name)
		}
		delete(known, name)
		if _, err := compileSchema(name); err != nil {
			t.Error(err)
		}
	}
	for name := range known {
		t.Errorf("%s has no schema", name)
	}
}

func hasFlag(command *kong.Node, name string) bool {
	for _, group := range command.AllFlags(true) {
		for _, f := range group {
			if f.Name == name {
				return true
			}
		}
	}
	return false
}

func TestTheResultOfAClustersDemoFitsItsSchema(t *testing.T) {
	after := 21000.5
	for _, r := range []*demo.ClusterReport{{}, {Nodes: 3, Missed: []string{"a death"}, NodeLostAfterMS: &after, Refusal: "replayed"}} {
		var text bytes.Buffer
		if err := r.WriteJSON(&text); err != nil {
			t.Fatal(err)
		}
		s, err := compileSchema("demo_cluster")
		if err != nil {
			t.Fatal(err)
		}
		value, err := jsonschema.UnmarshalJSON(&text)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(value); err != nil {
			t.Error(err)
		}
		for _, problem := range findStrangeFields(value, s, "") {
			t.Error(problem)
		}
	}
}
