package config

import (
	"errors"
	"fmt"

	"github.com/wazuh-pulse/pulse/internal/printable"
	"github.com/wazuh-pulse/pulse/internal/silence"
)

// Silence is a <silence> of <pulse>: agents whose alerts are held back at a time of the week. [Load] gives every one a
// selector and a weekly time that the package silence accepts.
type Silence struct {
	Name                  string // unique: 1 to 64 bytes of letters, digits, - and _
	All                   bool
	Agent, Group, Network string
	Weekly                string
	Comment               string
}

const (
	silenceElement = "silence"
	pathSilence    = "pulse/" + silenceElement
	maxSilences    = 100
	// maxSilenceComment is what a silence has room for, in bytes.
	maxSilenceComment = 500
)

// silenceSelectorNames are the elements that select a silence's agents.
var silenceSelectorNames = []string{"agent", "group", "network", "all"}

// silenceSettingTable holds every element of one silence, in document order, below a path of that silence.
func silenceSettingTable(s *Silence, path string) []setting {
	of := func(f field) func(*Config) field { return func(*Config) field { return f } }
	selector := func(p *string, desc string, parse func(text string) error) func(*Config) field {
		return of(textField{p, rule{desc, parse}})
	}
	return []setting{
		{path + "/agent", "none", "The agents, by ids, and patterns of names: * is any text, ? any character, [a-c] one of these.", live,
			selector(&s.Agent, "ids, ranges of ids, names or patterns separated by commas, such as 001,010-020,web-*", checkSelector("agent"))},
		{path + "/group", "none", "Their Wazuh groups: one of them has to match.", live,
			selector(&s.Group, "names of groups or patterns separated by commas, such as web,db-*", checkSelector("group"))},
		{path + "/network", "none", "Where they are seen.", live,
			selector(&s.Network, "IP addresses and networks separated by commas, such as 10.1.0.0/16,192.0.2.7", checkSelector("network"))},
		{path + "/all", "none", "All agents, instead of a selector.", live, of(boolField{&s.All})},
		{path + "/weekly", "none", "When: days, hours and a time zone.", live,
			selector(&s.Weekly, silence.WantWeekly, func(text string) error { _, err := silence.ParseWeekly(text); return err })},
		{path + "/comment", "none", "Why, for who reads the list.", live, of(textField{&s.Comment, silenceComment})},
	}
}

// checkSelector returns a check of one kind of condition.
func checkSelector(kind string) func(text string) error {
	return func(text string) error {
		given := map[string]string{kind: text}
		_, err := silence.ParseSelector(false, given["agent"], given["group"], given["network"])
		return err
	}
}

var silenceComment = rule{"a text of up to 500 bytes", func(s string) error {
	switch {
	case len(s) > maxSilenceComment:
		return errors.New("longer than 500 bytes")
	case !printable.Is(s):
		return errUnprintable
	}
	return nil
}}

// applySilence applies a <silence>. It replaces one of the same name in an earlier file, at that place.
func (ld *loader) applySilence(n *node) {
	var s Silence
	label, ok := ld.applyNamedBlock(n, pathSilence, "patch-night", ld.silenceLines, func(name, path string) []setting {
		s.Name = name
		return silenceSettingTable(&s, path)
	})
	if !ok {
		return
	}
	_, err := silence.ParseSelector(s.All, s.Agent, s.Group, s.Network)
	switch {
	case errors.Is(err, silence.ErrSelectsNothing):
		ld.addError(n.line, fmt.Sprintf("<%s> selects no agent", label), "choose its agents with "+joinElementNames(silenceSelectorNames))
	case err != nil:
		ld.addError(n.line, fmt.Sprintf("<%s>: %v", label, err), "")
	case s.Weekly == "":
		ld.addError(n.line, fmt.Sprintf("<%s> has no <weekly>", label), "want "+silence.WantWeekly+"; for once, use pulse silence add")
	case !addOrReplace(&ld.loaded.Silences, s, func(other Silence) bool { return other.Name == s.Name }, maxSilences):
		ld.addError(n.line, fmt.Sprintf("<silence name=%q> is one more than the %d there may be", s.Name, maxSilences), "use pulse silence add for others")
	}
}

// silenceSettings lists what is set of each silence.
func (l *Loaded) silenceSettings() (all []setting) {
	for i := range l.Silences {
		s := &l.Silences[i]
		for _, k := range silenceSettingTable(s, namedPath(pathSilence, s.Name)) {
			if value := k.field(nil).String(); value != "" && value != "no" {
				all = append(all, k)
			}
		}
	}
	return all
}
