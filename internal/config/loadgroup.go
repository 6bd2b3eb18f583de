package config

import (
	"fmt"
	"slices"
	"strings"
)

// group applies an <agent_group>. One of an earlier file with the same name is replaced wholly, where it stands.
func (ld *loader) group(n *node) {
	before := ld.errs.count()
	name := ld.groupName(n)
	label, path := groupElement, pathGroup
	if name != "" {
		label, path = fmt.Sprintf("%s name=%q", groupElement, name), groupPath(name)
	}
	g := Group{Name: name}
	known := groupTable(&g, path)
	for _, s := range known {
		delete(ld.loaded.origins, s.path)
	}
	ld.elements(n, block{label, pathGroup, known})
	if ld.errs.count() > before {
		return
	}
	if !hasOneOf(n, selectorNames) {
		ld.fail(n.line, fmt.Sprintf("<%s> matches no agent", label), "choose its agents with "+angled(selectorNames))
		return
	}
	if !hasOneOf(n, overrideNames) {
		ld.fail(n.line, fmt.Sprintf("<%s> changes nothing", label), "set "+angled(overrideNames))
		return
	}
	ld.putGroup(g, origin{ld.file, n.line, ""})
}

// groupName returns the name of a group, "" after a complaint.
func (ld *loader) groupName(n *node) string {
	if len(n.attrs) != 1 || fullName(n.attrs[0].Name) != "name" {
		ld.fail(n.line, "<agent_group> needs a name, and no other attribute", `write it as <agent_group name="servers">`)
		return ""
	}
	name := n.attrs[0].Value
	if err := groupName.check(name); err != nil {
		ld.fail(n.line, fmt.Sprintf("<agent_group name=\"%s\">: %v", quote(name), err), "want "+groupName.desc)
		return ""
	}
	if first := ld.groupLines[name]; first > 0 {
		ld.fail(n.line, fmt.Sprintf("<agent_group name=%q> is here twice, first on line %d", name, first), "give each a name of its own")
		return ""
	}
	ld.groupLines[name] = n.line
	return name
}

func (ld *loader) strayGroup(n *node) {
	ld.fail(n.line, "<agent_group> outside of <manager_keepalive>", "move it into the <manager_keepalive> of <remote>")
}

func hasOneOf(n *node, names []string) bool {
	return slices.ContainsFunc(n.children, func(c *node) bool { return slices.Contains(names, c.name) })
}

func (ld *loader) putGroup(g Group, at origin) {
	l := ld.loaded
	i := slices.IndexFunc(l.Groups, func(other Group) bool { return other.Name == g.Name })
	switch {
	case i >= 0:
		l.Groups[i] = g
	case len(l.Groups) < maxGroups:
		l.Groups = append(l.Groups, g)
	default:
		ld.fail(at.line, fmt.Sprintf("<agent_group name=%q> is one more than the %d there may be", g.Name, maxGroups), "join groups that differ only in their agents")
	}
}

// angled joins names of elements as a sentence does.
func angled(names []string) string {
	return "<" + strings.Join(names[:len(names)-1], ">, <") + "> or <" + names[len(names)-1] + ">"
}

// resolveGroups fills in what groups inherit, once that is settled.
func (ld *loader) resolveGroups() {
	l := ld.loaded
	for i := range l.Groups {
		g := &l.Groups[i]
		for _, s := range groupTable(g, groupPath(g.Name)) {
			if slices.Contains(overrideNames, s.name()) && l.origins[s.path].file == "" {
				ld.inherit(&s)
			}
		}
		ld.checkGroupTimeout(g)
	}
}

// inherit gives an override the value of its base, as written: both have the same form and range.
func (ld *loader) inherit(s *setting) {
	l, from := ld.loaded, base(s)
	if err := s.field(&l.Config).parse(from.field(&l.Config).String()); err != nil {
		panic("config: " + s.path + " cannot be inherited: " + err.Error()) // a mistake in the tables; a test sees it first
	}
	if o := l.origins[from.path]; o.file != "" {
		l.origins[s.path] = origin{o.file, o.line, from.path}
	}
}

// checkGroupTimeout reports at the line of the group's timeout, or of its interval if that alone was written. A group
// that writes neither has nothing wrong that <manager_keepalive> has not.
func (ld *loader) checkGroupTimeout(g *Group) {
	if g.Timeout >= g.Interval || ld.failed[pathTimeout] || ld.failed[pathInterval] {
		return
	}
	label := fmt.Sprintf("<agent_group name=%q>: ", g.Name)
	for _, name := range []string{"/timeout", "/interval"} {
		if at := ld.loaded.origins[groupPath(g.Name)+name]; at.file != "" && at.from == "" {
			ld.timeoutTooShort(at, label, g.Timeout, g.Interval)
			return
		}
	}
}
