package config

import (
	"cmp"
	"os"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// documentedSetting is a setting with its default and what is documented about it.
type documentedSetting struct {
	Setting
	Want string
	Doc  string
	when applyTime
}

// reference lists every setting with its default, in document order. The elements of groups and silences are there
// once, below "agent_group" and "silence", with an empty default; their attribute is @name.
func reference() (all []documentedSetting) {
	l := Loaded{Config: Default()}
	l.Pulse.NodeName = hostDefault
	list := func(table []setting, value func(field) string) {
		for _, s := range table {
			f := s.field(&l.Config)
			all = append(all, documentedSetting{Setting{Path: rootElement + "/" + s.path, Value: value(f), Source: l.origins[s.path].String()}, f.describeAcceptedValues(), s.doc, s.when})
		}
	}
	name := func(path, doc string) {
		all = append(all, documentedSetting{Setting{Path: rootElement + "/" + path + "/@name", Source: "default"}, groupName.desc, doc, live})
	}
	none := func(field) string { return "" }
	list(slices.Concat(remoteTable, keepAliveTable), field.String)
	name(pathGroup, "The group's name, an attribute: of several groups that match an agent the first in the file counts.")
	list(groupSettingTable(new(Group), pathGroup), none)
	list(slices.Concat(natsTable, pulseTable), field.String)
	name(pathSilence, "The silence's name, an attribute.")
	list(silenceSettingTable(new(Silence), pathSilence), none)
	list(clusterTable, field.String)
	return all
}

// docs/settings.md has a row for every setting, in order, with its default, and no others:
// | `name` | default | what it means |
func TestTheReferenceHasEverySetting(t *testing.T) {
	text, err := os.ReadFile("../../docs/settings.md")
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	var block string
	for line := range strings.Lines(string(text)) {
		if title, ok := strings.CutPrefix(line, "## "); ok {
			block = strings.ReplaceAll(strings.Trim(strings.TrimSpace(title), "`<>"), "><", "/")
		}
		cells := strings.Split(line, " | ")
		if name, ok := strings.CutPrefix(cells[0], "| `"); ok {
			reloads := strings.TrimSuffix(strings.TrimSpace(cells[len(cells)-1]), " |")
			got = append(got, "ossec_config/"+block+"/"+strings.TrimSuffix(name, "`")+" = "+strings.Trim(cells[1], "`")+", reloads: "+reloads)
		}
	}
	for _, s := range reference() {
		reloads := "no"
		if s.when == live {
			reloads = "yes"
		}
		want = append(want, s.Path+" = "+cmp.Or(s.Value, "none")+", reloads: "+reloads)
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("docs/settings.md (- want, + got):\n%s", diff)
	}
}
