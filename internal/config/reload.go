package config

import (
	"fmt"
	"slices"
)

// Change is a setting that is not what it was.
type Change struct{ Path, Was, Is string } // Was or Is is empty for one of a group that is new or gone

// Reload returns the settings of a node that runs with these and reads next: next's
// where they take effect while it runs, these elsewhere. Changed are those that differ
// by that, in document order, and waiting those that would with a restart.
func (c *Config) Reload(next *Config) (now Config, changed, waiting []Change) {
	now = *c
	now.Groups = slices.Clone(next.Groups)
	for _, s := range table {
		was, is := s.field(c).String(), s.field(next).String()
		switch {
		case was == is:
		case s.when == atStart:
			waiting = append(waiting, Change{rootElement + "/" + s.path, was, is})
		default:
			if err := s.field(&now).parse(is); err != nil {
				panic(fmt.Sprintf("config: %s as it is printed: %v", s.path, err)) // a mistake in the table; a test sees it first
			}
		}
	}
	return now, differences(c, &now), waiting
}

func differences(was, is *Config) (list []Change) {
	before, after := (&Loaded{Config: *was}).Settings(), (&Loaded{Config: *is}).Settings()
	valueIn := func(all []Setting, path string) string {
		i := slices.IndexFunc(all, func(s Setting) bool { return s.Path == path })
		if i < 0 {
			return ""
		}
		return all[i].Value
	}
	for _, s := range after {
		if old := valueIn(before, s.Path); old != s.Value {
			list = append(list, Change{s.Path, old, s.Value})
		}
	}
	for _, s := range before {
		if !slices.ContainsFunc(after, func(a Setting) bool { return a.Path == s.Path }) {
			list = append(list, Change{s.Path, s.Value, ""})
		}
	}
	return list
}
