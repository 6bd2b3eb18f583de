package config

import (
	"fmt"
	"slices"
	"strings"
)

// applyAgentGroup applies an <agent_group>. It replaces one of the same name in an earlier file, at that place.
func (ld *loader) applyAgentGroup(n *node) {
	var g Group
	label, ok := ld.applyNamedBlock(n, pathGroup, "servers", ld.groupLines, func(name, path string) []setting {
		g.Name = name
		return groupSettingTable(&g, path)
	})
	switch {
	case !ok:
	case !slices.ContainsFunc(n.children, func(c *node) bool { return slices.Contains(selectorNames, c.name) }):
		ld.addError(n.line, fmt.Sprintf("<%s> matches no agent", label), "choose its agents with "+joinElementNames(selectorNames))
	case !addOrReplace(&ld.loaded.Groups, g, func(other Group) bool { return other.Name == g.Name }, maxGroups):
		ld.addError(n.line, fmt.Sprintf("<agent_group name=%q> is one more than the %d there may be", g.Name, maxGroups), "join groups that differ only in their agents")
	}
}

// applyNamedBlock applies the elements of a block that may be repeated, with a name. Table returns its settings. It
// returns the block's label in errors, and false if there were any.
func (ld *loader) applyNamedBlock(n *node, blockPath, example string, lines map[string]int, table func(name, path string) []setting) (label string, ok bool) {
	before := ld.errs.countProblems()
	name := ld.readBlockName(n, example, lines)
	label, path := n.name, blockPath
	if name != "" {
		label, path = fmt.Sprintf("%s name=%q", n.name, name), namedPath(blockPath, name)
	}
	known := table(name, path)
	for _, s := range known {
		delete(ld.loaded.origins, s.path)
	}
	ld.applyBlockElements(n, strictBlock{label, blockPath, known})
	return label, ld.errs.countProblems() == before
}

// addOrReplace puts v in the place of the one that is the same, or at the end. It returns false if there are most already.
func addOrReplace[T any](list *[]T, v T, isSame func(T) bool, most int) bool {
	if i := slices.IndexFunc(*list, isSame); i >= 0 {
		(*list)[i] = v
		return true
	}
	if len(*list) >= most {
		return false
	}
	*list = append(*list, v)
	return true
}

// readBlockName returns the name of a block that may be repeated, "" if it is bad. Lines are those of the names so far.
func (ld *loader) readBlockName(n *node, example string, lines map[string]int) string {
	element := n.name
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

// joinElementNames joins names of elements: "<a>, <b> or <c>".
func joinElementNames(names []string) string {
	if len(names) == 1 {
		return "<" + names[0] + ">"
	}
	return "<" + strings.Join(names[:len(names)-1], ">, <") + "> or <" + names[len(names)-1] + ">"
}

// resolveInheritedValues fills in what groups inherit, when all files are applied.
func (ld *loader) resolveInheritedValues() {
	l := ld.loaded
	for i := range l.Groups {
		g := &l.Groups[i]
		for _, s := range groupSettingTable(g, namedPath(pathGroup, g.Name)) {
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
		if at := ld.loaded.origins[namedPath(pathGroup, g.Name)+name]; at.file != "" && at.from == "" {
			ld.addTimeoutError(at, label, g.Timeout, g.Interval)
			return
		}
	}
}
