package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// loader applies files to the defaults, one after the other, and collects their problems.
type loader struct {
	loaded *Loaded
	errs   Errors
	failed map[string]bool // settings with a bad value, which rules between settings skip
	file   string          // being applied

	groupLines, silenceLines map[string]int // of the file being applied, by name

	clusterName   string // of the manager's <cluster>
	clusterOrigin origin
}

// strictBlocks are the paths of Pulse's own blocks, in which nothing is ignored.
var strictBlocks = []string{pathKeepAlive, "nats", "pulse"}

func newLoader() *loader {
	return &loader{
		loaded: &Loaded{Config: Default(), origins: map[string]origin{}, replaced: map[string]string{}},
		failed: map[string]bool{},
	}
}

func (ld *loader) applyFile(file string, data []byte) {
	ld.file, ld.groupLines, ld.silenceLines = file, map[string]int{}, map[string]int{}
	ld.loaded.Files = append(ld.loaded.Files, file)
	if roots, ok := parseManagerFile(data); ok {
		ld.applyManagerFile(file, roots)
		return
	}
	roots, err := parseXML(data)
	if err != nil {
		err.File = file
		ld.errs.addProblem(err)
		return
	}
	for _, n := range roots {
		if n.name != "ossec_config" {
			ld.addError(n.line, fmt.Sprintf("unknown root element <%s>", quoteBrief(n.name)), "put settings inside <ossec_config>")
			continue
		}
		for _, block := range n.children {
			ld.applyTopBlock(block)
		}
	}
}

func (ld *loader) addError(line int, problem, hint string) {
	ld.errs.addProblem(&Error{ld.file, line, problem, hint})
}

// applyTopBlock applies a child of <ossec_config>.
func (ld *loader) applyTopBlock(n *node) {
	switch n.name {
	case "nats", "pulse":
		ld.applyStrictBlock(n, n.name)
	case "remote":
		ld.applyRemoteBlock(n)
	case "cluster":
		var m Manager
		m.readClusterBlock(n, nil)
		if m.hasOwnName() {
			ld.clusterName, ld.clusterOrigin = m.NodeName, origin{ld.file, m.line, ""}
		}
		for _, c := range n.children {
			if c.name == "enabled" { // else it is the manager's
				ld.applySetting("", lookupSetting(pathClusterEnabled), c)
			}
		}
		ld.refuseLostBlocks(n)
	case "manager_keepalive":
		ld.addError(n.line, "<manager_keepalive> outside of <remote>", "move it into <remote>")
	case groupElement:
		ld.refuseStrayGroup(n)
	case silenceElement:
		ld.addError(n.line, "<silence> outside of <pulse>", "move it into <pulse>")
	default:
		ld.refuseLostBlocks(n, "nats", "pulse", "remote")
	}
}

// applyRemoteBlock applies the settings for agents of ossec.conf's <remote>; a <remote> of syslog has none.
func (ld *loader) applyRemoteBlock(n *node) {
	syslog := isSyslogRemote(n)
	for _, c := range n.children {
		switch {
		case c.name == "manager_keepalive" && syslog:
			ld.addError(c.line, "<manager_keepalive> in a <remote> of syslog", "move it into the <remote> with <connection>secure</connection>")
		case syslog:
			ld.refuseLostBlocks(c)
		case c.name == "manager_keepalive":
			ld.applyStrictBlock(c, pathKeepAlive)
		case c.name == groupElement:
			ld.refuseStrayGroup(c)
		case c.name == "connection":
			if v := c.trimmedText(); v != "secure" {
				ld.addError(c.line, fmt.Sprintf("<connection>%s</connection>: unknown word", quoteBrief(v)), "want secure or syslog (default secure)")
			}
		default:
			if s := lookupSetting("remote/" + c.name); s != nil {
				ld.applySetting("", s, c)
			} else {
				ld.refuseLostBlocks(c, "manager_keepalive")
			}
		}
	}
}

// strictBlock is one of Pulse's own blocks, with the settings that it may have.
type strictBlock struct {
	label string // in errors: nats, agent_group name="servers"
	path  string
	known []setting
}

// applyStrictBlock applies one of Pulse's own blocks.
func (ld *loader) applyStrictBlock(n *node, path string) {
	if len(n.attrs) > 0 {
		ld.addError(n.line, fmt.Sprintf("<%s> has an attribute", n.name), "settings are elements: remove it")
	}
	ld.applyBlockElements(n, strictBlock{n.name, path, settingsOfBlock(path)})
}

// applyBlockElements applies the elements of one of Pulse's own blocks: each is a setting, at most once, or a group where groups may be.
func (ld *loader) applyBlockElements(n *node, b strictBlock) {
	if n.textLine > 0 {
		ld.addError(n.textLine, fmt.Sprintf("<%s> has text between its elements", b.label), "put it into an element or a comment")
	}
	seen := map[string]int{}
	for _, c := range n.children {
		i := slices.IndexFunc(b.known, func(s setting) bool { return s.elementName() == c.name })
		switch {
		case b.path == pathKeepAlive && c.name == groupElement:
			ld.applyAgentGroup(c)
			continue
		case b.path == "pulse" && c.name == silenceElement:
			ld.applySilence(c)
			continue
		case i < 0:
			ld.refuseUnknownElement(b, c)
			continue
		case seen[c.name] > 0:
			ld.addError(c.line, fmt.Sprintf("<%s>: <%s> is here twice, first on line %d", b.label, c.name, seen[c.name]), "keep one")
			continue
		case len(c.attrs) > 0:
			ld.addError(c.line, fmt.Sprintf("%s<%s> has an attribute", b.groupErrorPrefix(), c.name), "settings are elements: remove it")
		}
		seen[c.name] = c.line
		ld.applySetting(b.groupErrorPrefix(), &b.known[i], c)
	}
}

// groupErrorPrefix returns the name of a group or silence for errors about its elements, as there may be several.
func (b strictBlock) groupErrorPrefix() string {
	if b.path != pathGroup && b.path != pathSilence {
		return ""
	}
	return "<" + b.label + ">: "
}

// applySetting applies the value of one element.
func (ld *loader) applySetting(prefix string, s *setting, n *node) {
	if len(n.children) > 0 {
		ld.addError(n.line, fmt.Sprintf("%s<%s> has an element inside", prefix, s.elementName()), "it takes a plain value")
		return
	}
	f := s.field(&ld.loaded.Config)
	was, before := f.String(), ld.loaded.origins[s.path]
	err := f.setFromText(n.trimmedText())
	if err == nil {
		delete(ld.failed, s.path)
		ld.noteReplaced(s, n.line, before, f.String() != was)
		ld.loaded.origins[s.path] = origin{ld.file, n.line, ""}
		return
	}
	ld.failed[s.path] = true
	problem, hint := explainRefusedValue(err, s, f)
	ld.addError(n.line, fmt.Sprintf("%s%s: %s", prefix, s.quoteElementValue(n.trimmedText()), problem), hint)
}

// noteReplaced notes where the value was that a setting has had so far, if it differs. Two values in two blocks of one
// file are a warning: the first one has no effect at all.
func (ld *loader) noteReplaced(s *setting, line int, before origin, differs bool) {
	if before.file == "" || before.from != "" || !differs {
		return
	}
	ld.loaded.replaced[s.path] = before.String()
	if before.file == ld.file && before.line != line && len(ld.loaded.Warnings) < maxErrors {
		ld.loaded.Warnings = append(ld.loaded.Warnings, &Error{ld.file, line,
			fmt.Sprintf("<%s> is set on line %d, too: the last one counts", s.elementName(), before.line), "keep one"})
	}
}

func explainRefusedValue(err error, s *setting, f field) (problem, hint string) {
	if refused, ok := errors.AsType[*Error](err); ok {
		return refused.Problem, refused.Hint
	}
	return err.Error(), fmt.Sprintf("want %s (default %s)", f.describeAcceptedValues(), cmp.Or(s.def, "empty"))
}
