package config

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// Manager is the part of a stock manager's own settings about its cluster and its rules.
type Manager struct {
	NodeName  string // "" if the file has none
	Clustered bool
	Worker    bool
	Cautions  []string // settings of the file that Pulse does not follow
	line      int      // of the name

	RuleDirs     []string // directories of rules, in the manager's own; where the file has none, its default
	RuleFiles    []string // files of rules that are read besides
	RuleExcludes []string // files of rules that are not read
}

// defaultRuleDir is what a manager reads whose settings name no directory.
const defaultRuleDir = "ruleset/rules"

// maxManagerFile is far above any real file.
const maxManagerFile = 16 << 20

// ReadManager reads the settings of the manager in home, as leniently as the manager
// does: etc/ossec.conf, or etc/wazuh-manager.conf. Its error is that of the file.
func ReadManager(home string) (Manager, error) {
	f, err := os.Open(managerFilePath(home))
	if err != nil {
		return Manager{}, fmt.Errorf("read the manager's settings: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxManagerFile+1))
	if err != nil {
		return Manager{}, fmt.Errorf("read the manager's settings: %w", err)
	}
	if len(data) > maxManagerFile {
		return Manager{}, fmt.Errorf("read the manager's settings: %s is larger than 16 MiB", managerFilePath(home))
	}
	return readManagerBlocks(parseLenientXML(data)), nil
}

// addCaution adds a text unless it is in the list already.
func (m *Manager) addCaution(text string) {
	if !slices.Contains(m.Cautions, text) && len(m.Cautions) < maxErrors {
		m.Cautions = append(m.Cautions, text)
	}
}

func (m *Manager) readRemoteBlock(n *node) {
	for _, c := range n.children {
		if c.name == "ipv6" && strings.EqualFold(c.trimmedText(), "yes") {
			m.addCaution("its <remote> has <ipv6>: Pulse as the agents' manager listens on <local_ip> alone, which may be ::")
		}
	}
}

func (m *Manager) readClusterBlock(n *node, vars map[string]string) {
	m.Clustered = true
	for _, c := range n.children {
		switch c.name {
		case "node_name":
			m.NodeName, m.line = c.trimmedText(), c.line
			if !strings.HasPrefix(m.NodeName, "$") {
				continue
			}
			value, ok := vars[m.NodeName]
			if !ok {
				m.addCaution(fmt.Sprintf("its <node_name> is the variable %s, which the file does not set: give this node a name with <pulse><node_name>", quoteBrief(m.NodeName)))
			}
			m.NodeName = value
		case "node_type":
			m.Worker = strings.EqualFold(c.trimmedText(), "worker")
		case "disabled":
			m.Clustered = !strings.EqualFold(c.trimmedText(), "yes")
		}
	}
}

func (m *Manager) readRulesetBlock(n *node) {
	for _, c := range n.children {
		switch value := c.trimmedText(); c.name {
		case "rule_dir":
			m.RuleDirs = append(m.RuleDirs, value)
		case "rule_include":
			if !strings.Contains(value, "/") {
				value = defaultRuleDir + "/" + value
			}
			m.RuleFiles = append(m.RuleFiles, value)
		case "rule_exclude":
			m.RuleExcludes = append(m.RuleExcludes, value)
		}
	}
}

// isSyslogRemote reports whether a <remote> is for syslog, not for agents.
func isSyslogRemote(n *node) bool {
	return slices.ContainsFunc(n.children, func(c *node) bool { return c.name == "connection" && c.trimmedText() == "syslog" })
}

// applyManagerFile applies the settings of a manager's own file that Pulse follows. A bad
// value is a warning, as the manager may accept it.
func (ld *loader) applyManagerFile(file string, roots []*node) {
	warn := func(line int, problem, hint string) {
		if len(ld.loaded.Warnings) < maxErrors {
			ld.loaded.Warnings = append(ld.loaded.Warnings, &Error{file, line, problem, hint})
		}
	}
	m := readManagerBlocks(roots)
	for _, text := range m.Cautions {
		warn(0, text, "")
	}
	if m.hasOwnName() {
		ld.clusterName, ld.clusterOrigin = m.NodeName, origin{file, m.line, ""}
	}
	vars := readVariables(roots)
	for _, root := range roots {
		for _, block := range root.children {
			if root.name != "ossec_config" {
				continue
			}
			if block.name != "remote" {
				ld.warnIfMisspelt(block, "nats", "pulse", "remote")
				continue
			}
			if isSyslogRemote(block) {
				continue
			}
			for _, c := range block.children {
				s := lookupSetting("remote/" + c.name)
				if s == nil {
					ld.warnIfMisspelt(c, "manager_keepalive")
					continue
				}
				value := c.trimmedText()
				if v, ok := vars[value]; ok {
					value = v
				}
				if err := s.field(&ld.loaded.Config).setFromText(value); err != nil {
					problem, hint := explainRefusedValue(err, s, s.field(&ld.loaded.Config))
					warn(c.line, s.quoteElementValue(value)+": "+problem+": ignored", hint)
					continue
				}
				ld.loaded.origins[s.path] = origin{file, c.line, ""}
			}
		}
	}
}

// readManagerBlocks reads the blocks that Pulse needs. A <cluster> without <disabled> is
// enabled.
func readManagerBlocks(roots []*node) Manager {
	var m Manager
	secure := 0
	vars := readVariables(roots)
	for _, root := range roots {
		if !isManagerRoot(root.name) {
			continue
		}
		for _, block := range root.children {
			switch block.name {
			case "cluster":
				m.readClusterBlock(block, vars)
			case "remote":
				if isSyslogRemote(block) || root.name == managerRoot5 {
					continue
				}
				if secure++; secure == 2 {
					m.addCaution("it has more than one <remote> of agents: Pulse reads the port of the last")
				}
				m.readRemoteBlock(block)
			case "ruleset":
				m.readRulesetBlock(block)
			}
		}
	}
	if m.RuleDirs == nil {
		m.RuleDirs = []string{defaultRuleDir}
	}
	m.Worker = m.Worker && m.Clustered
	return m
}
