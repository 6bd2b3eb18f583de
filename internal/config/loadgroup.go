package config

import (
	"fmt"
	"slices"
	"strings"
)

// applyAgentGroup applies an <agent_group>. It replaces one of the same name in an earlier file, at that place.
func (ld *loader) applyAgentGroup(n *node) {
	before := ld.errs.countProblems()
	name := ld.readBlockName(n, groupElement, "servers", ld.groupLines)
	label, path := groupElement, pathGroup
	if name != "" {
		label, path = fmt.Sprintf("%s name=%q", groupElement, name), groupPath(name)
	}
	g := Group{Name: name}
	known := groupSettingTable(&g, path)
	for _, s := range known {
		delete(ld.loaded.origins, s.path)
	}
	ld.applyBlockElements(n, strictBlock{label, pathGroup, known})
	if ld.errs.countProblems() > before {
		return
	}
	if !hasAnyElement(n, selectorNames) {
		ld.addError(n.line, fmt.Sprintf("<%s> matches no agent", label), "choose its agents with "+joinElementNames(selectorNames))
		return
	}
	ld.addOrReplaceGroup(g, origin{ld.file, n.line, ""})
}

// readBlockName returns the name of a block that may be repeated, "" if it is bad. Lines are those of the names so far.
func (ld *loader) readBlockName(n *node, element, example string, lines map[string]int) string {
	if len(n.attrs) != 1 || qualifiedXMLName(n.attrs[0].Name) != "name" {
		ld.addError(n.line, fmt.Sprintf("<%s> needs a name, and no other attribute", element), fmt.Sprintf("write it as <%s name=%q>", element, example))
		return ""
	}
	name := n.attrs[0].Value
	if err := groupName.check(name); err != nil {
		ld.addError(n.line, fmt.Sprintf("<%s name=\"%s\">: %v", element, quoteBrief(name), err), "want "+groupName.desc)
		return ""
	}
	if first := lines[name]; first > 0 {
		ld.addError(n.line, fmt.Sprintf("<%s name=%q> is here twice, first on line %d", element, name, first), "give each a name of its own")
		return ""
	}
	lines[name] = n.line
	return name
}

func (ld *loader) refuseStrayGroup(n *node) {
	ld.addError(n.line, "<agent_group> outside of <manager_keepalive>", "move it into the <manager_keepalive> of <remote>")
}

func hasAnyElement(n *node, names []string) bool {
	return slices.ContainsFunc(n.children, func(c *node) bool { return slices.Contains(names, c.name) })
}

func (ld *loader) addOrReplaceGroup(g Group, at origin) {
	l := ld.loaded
	i := slices.IndexFunc(l.Groups, func(other Group) bool { return other.Name == g.Name })
	switch {
	case i >= 0:
		l.Groups[i] = g
	case len(l.Groups) < maxGroups:
		l.Groups = append(l.Groups, g)
	default:
		ld.addError(at.line, fmt.Sprintf("<agent_group name=%q> is one more than the %d there may be", g.Name, maxGroups), "join groups that differ only in their agents")
	}
}

// joinElementNames joins names of elements: "<a>, <b> or <c>".
func joinElementNames(names []string) string {
	return "<" + strings.Join(names[:len(names)-1], ">, <") + "> or <" + names[len(names)-1] + ">"
}

// resolveInheritedValues fills in what groups inherit, when all files are applied.
func (ld *loader) resolveInheritedValues() {
	l := ld.loaded
	for i := range l.Groups {
		g := &l.Groups[i]
		for _, s := range groupSettingTable(g, groupPath(g.Name)) {
			if slices.Contains(overrideNames, s.elementName()) && l.origins[s.path].file == "" {
				ld.inheritBaseValue(&s)
			}
		}
		ld.checkGroupTimeout(g)
	}
}

// inheritBaseValue gives an override the value of its base, as written: both have the same form and range.
func (ld *loader) inheritBaseValue(s *setting) {
	l, from := ld.loaded, baseSettingOf(s)
	if err := s.field(&l.Config).setFromText(from.field(&l.Config).String()); err != nil {
		panic("config: " + s.path + " cannot be inherited: " + err.Error()) // a mistake in the tables; a test sees it first
	}
	if o := l.origins[from.path]; o.file != "" {
		l.origins[s.path] = origin{o.file, o.line, from.path}
	}
}

// checkGroupTimeout reports at the line of the group's timeout, or of its interval if that alone was written. A group
// that writes neither has no other problem than <manager_keepalive>.
func (ld *loader) checkGroupTimeout(g *Group) {
	if g.Timeout >= g.Interval || ld.failed[pathTimeout] || ld.failed[pathInterval] {
		return
	}
	label := fmt.Sprintf("<agent_group name=%q>: ", g.Name)
	for _, name := range []string{"/timeout", "/interval"} {
		if at := ld.loaded.origins[groupPath(g.Name)+name]; at.file != "" && at.from == "" {
			ld.addTimeoutError(at, label, g.Timeout, g.Interval)
			return
		}
	}
}
