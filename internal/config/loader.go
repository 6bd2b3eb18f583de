package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// loader applies files to the defaults, one after the other, and gathers what is wrong with them.
type loader struct {
	loaded *Loaded
	errs   Errors
	failed map[string]bool // settings with a bad value: rules between settings leave them alone
	file   string          // being applied

	groupLines map[string]int // of the file being applied, by name

	clusterName   string // of the manager's <cluster>
	clusterOrigin origin
}

// strictBlocks are ours alone, by their path: nothing in them is ignored.
var strictBlocks = []string{pathKeepAlive, "nats", "pulse"}

func newLoader() *loader {
	return &loader{
		loaded: &Loaded{Config: Default(), origins: map[string]origin{}},
		failed: map[string]bool{},
	}
}

// add applies one file.
func (ld *loader) add(file string, data []byte) {
	ld.file, ld.groupLines = file, map[string]int{}
	ld.loaded.Files = append(ld.loaded.Files, file)
	if roots, ok := managersFile(data); ok {
		ld.addManagers(file, roots)
		return
	}
	roots, err := parseXML(data)
	if err != nil {
		err.File = file
		ld.errs.add(err)
		return
	}
	for _, n := range roots {
		if n.name != "ossec_config" {
			ld.fail(n.line, fmt.Sprintf("unknown root element <%s>", quote(n.name)), "put settings inside <ossec_config>")
			continue
		}
		for _, block := range n.children {
			ld.block(block)
		}
	}
}

func (ld *loader) fail(line int, problem, hint string) {
	ld.errs.add(&Error{ld.file, line, problem, hint})
}

// block applies a child of <ossec_config>.
func (ld *loader) block(n *node) {
	switch n.name {
	case "nats", "pulse":
		ld.strict(n, n.name)
	case "remote":
		ld.remote(n)
	case "cluster":
		var m Manager
		m.cluster(n, nil)
		if m.named() {
			ld.clusterName, ld.clusterOrigin = m.NodeName, origin{ld.file, m.line, ""}
		}
	case "manager_keepalive":
		ld.fail(n.line, "<manager_keepalive> outside of <remote>", "move it into <remote>")
	case groupElement:
		ld.strayGroup(n)
	default:
		ld.ignore(n, "nats", "pulse", "remote")
	}
}

// remote takes what concerns agents out of ossec.conf's <remote>; one for syslog concerns no agent.
func (ld *loader) remote(n *node) {
	syslog := isSyslog(n)
	for _, c := range n.children {
		switch {
		case c.name == "manager_keepalive" && syslog:
			ld.fail(c.line, "<manager_keepalive> in a <remote> of syslog", "move it into the <remote> with <connection>secure</connection>")
		case syslog:
		case c.name == "manager_keepalive":
			ld.strict(c, pathKeepAlive)
		case c.name == groupElement:
			ld.strayGroup(c)
		case c.name == "connection":
			if v := c.value(); v != "secure" {
				ld.fail(c.line, fmt.Sprintf("<connection>%s</connection>: unknown word", quote(v)), "want secure or syslog (default secure)")
			}
		default:
			if s := lookup("remote/" + c.name); s != nil {
				ld.set("", s, c)
			} else {
				ld.ignore(c, "manager_keepalive")
			}
		}
	}
}

// block is what a strict block may hold.
type block struct {
	label string // in errors: nats, agent_group name="servers"
	path  string
	known []setting
}

// strict applies a block of ours.
func (ld *loader) strict(n *node, path string) {
	if len(n.attrs) > 0 {
		ld.fail(n.line, fmt.Sprintf("<%s> has an attribute", n.name), "settings are elements: remove it")
	}
	ld.elements(n, block{n.name, path, settingsIn(path)})
}

// elements applies what is inside a block of ours: every child is a setting, once, or a group where those live.
func (ld *loader) elements(n *node, b block) {
	if n.textLine > 0 {
		ld.fail(n.textLine, fmt.Sprintf("<%s> has text between its elements", b.label), "put it into an element or a comment")
	}
	seen := map[string]int{}
	for _, c := range n.children {
		i := slices.IndexFunc(b.known, func(s setting) bool { return s.name() == c.name })
		switch {
		case b.path == pathKeepAlive && c.name == groupElement:
			ld.group(c)
			continue
		case i < 0:
			ld.unknown(b, c)
			continue
		case seen[c.name] > 0:
			ld.fail(c.line, fmt.Sprintf("<%s>: <%s> is here twice, first on line %d", b.label, c.name, seen[c.name]), "keep one")
			continue
		case len(c.attrs) > 0:
			ld.fail(c.line, fmt.Sprintf("%s<%s> has an attribute", b.prefix(), c.name), "settings are elements: remove it")
		}
		seen[c.name] = c.line
		ld.set(b.prefix(), &b.known[i], c)
	}
}

// prefix tells apart in errors what may be there several times: the elements of groups.
func (b block) prefix() string {
	if b.path != pathGroup {
		return ""
	}
	return "<" + b.label + ">: "
}

// set applies the value of one element.
func (ld *loader) set(prefix string, s *setting, n *node) {
	if len(n.children) > 0 {
		ld.fail(n.line, fmt.Sprintf("%s<%s> has an element inside", prefix, s.name()), "it takes a plain value")
		return
	}
	f := s.field(&ld.loaded.Config)
	err := f.parse(n.value())
	if err == nil {
		delete(ld.failed, s.path)
		ld.loaded.origins[s.path] = origin{ld.file, n.line, ""}
		return
	}
	ld.failed[s.path] = true
	problem, hint := refusal(err, s, f)
	ld.fail(n.line, fmt.Sprintf("%s%s: %s", prefix, s.quote(n.value()), problem), hint)
}

// refusal says what is wrong with a value, and the way out.
func refusal(err error, s *setting, f field) (problem, hint string) {
	if refused, ok := errors.AsType[*Error](err); ok {
		return refused.Problem, refused.Hint
	}
	return err.Error(), fmt.Sprintf("want %s (default %s)", f.want(), cmp.Or(s.def, "empty"))
}
