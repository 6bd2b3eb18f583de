package config

import (
	"fmt"
	"slices"
)

const (
	groupElement = "agent_group"
	pathGroup    = pathKeepAlive + "/" + groupElement
	maxGroups    = 100
	// inherited stands for the default of an override.
	inherited = "manager_keepalive's"
)

// selectorNames are the elements that say which agents a group is for, overrideNames what is different about them.
var (
	selectorNames = []string{"ids", "names", "addresses"}
	overrideNames = []string{"interval", "timeout", "max_missed", "high_alert_threshold"}
)

// groupPath is the path of a group's settings, in the way of XPath. A group's name needs no escaping there.
func groupPath(name string) string { return fmt.Sprintf("%s[@name='%s']", pathGroup, name) }

// groupTable holds every element of one group, in document order, below a path of that group.
func groupTable(g *Group, path string) []setting {
	of := func(f field) func(*Config) field { return func(*Config) field { return f } }
	return []setting{
		{path + "/ids", "none", "The ids of the group's agents.", live, of(idList{&g.IDs})},
		{path + "/names", "none", "The names of the group's agents, as patterns: * is any text, ? any character, [a-c] one of these.", live,
			of(patternList{&g.Names})},
		{path + "/addresses", "none", "Where the group's agents are seen.", live, of(prefixList{&g.Addresses})},
		{path + "/interval", inherited, "The group's interval; manager_keepalive's unless set.", live,
			of(duration{&g.Interval, shortest, day})},
		{path + "/timeout", inherited, "The group's timeout, at least its interval; manager_keepalive's unless set.", live,
			of(duration{&g.Timeout, shortest, 7 * day})},
		{path + "/max_missed", inherited, "The group's max_missed; manager_keepalive's unless set.", live,
			of(whole{&g.MaxMissed, 1, 100})},
		{path + "/high_alert_threshold", "nats's", "The group's high_alert_threshold; nats's unless set.", live,
			of(whole{&g.HighAlertThreshold, 0, 15})},
	}
}

// groupReference documents the elements of a group, and its attribute.
func groupReference() []Setting {
	path := rootElement + "/" + pathGroup
	list := []Setting{{path + "/@name", "", "", groupName.desc, "The group's name, an attribute: of several groups that match an agent the first in the file counts.", true}}
	for _, s := range groupTable(new(Group), pathGroup) {
		list = append(list, Setting{rootElement + "/" + s.path, "", "", s.field(nil).want(), s.doc, bool(s.when)})
	}
	for i := range list {
		list[i].Source = "default"
	}
	return list
}

// base returns the setting that a group's override is inherited from.
func base(override *setting) *setting {
	if override.name() == "high_alert_threshold" {
		return lookup(pathHighAlert)
	}
	return lookup(pathKeepAlive + "/" + override.name())
}

// settings is the table for settings in effect: with the elements of each group behind <manager_keepalive>'s own.
func (l *Loaded) settings() []setting {
	all := slices.Concat(remoteTable, keepAliveTable)
	for i := range l.Groups {
		g := &l.Groups[i]
		for _, s := range groupTable(g, groupPath(g.Name)) {
			if selector := slices.Contains(selectorNames, s.name()); !selector || s.field(nil).String() != "" {
				all = append(all, s)
			}
		}
	}
	return slices.Concat(all, natsTable, pulseTable)
}
