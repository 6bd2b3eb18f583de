package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Manager is what a stock manager's own ossec.conf says of its place in a cluster.
type Manager struct {
	NodeName  string // "" if the file does not say
	Clustered bool
	Worker    bool
	Cautions  []string // what the file has that Pulse does not follow
	line      int      // of the name
}

// managerFileMost is far above any real file.
const managerFileMost = 16 << 20

// ReadManager reads the ossec.conf of the manager that lives in home, as leniently as
// the manager does: what it does not need it passes over. Its error is that of the
// file.
func ReadManager(home string) (Manager, error) {
	f, err := os.Open(managerFile(home))
	if err != nil {
		return Manager{}, fmt.Errorf("read the manager's settings: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, managerFileMost+1))
	if err != nil {
		return Manager{}, fmt.Errorf("read the manager's settings: %w", err)
	}
	if len(data) > managerFileMost {
		return Manager{}, fmt.Errorf("read the manager's settings: %s is larger than 16 MiB", managerFile(home))
	}
	return managerOf(parseLenient(data)), nil
}

func managerFile(home string) string { return filepath.Join(home, "etc/ossec.conf") }

// managerOf takes what is needed out of the elements of a file. A <cluster> without
// <disabled> is one.
func managerOf(roots []*node) Manager {
	var m Manager
	secure := 0
	vars := variables(roots)
	for _, root := range roots {
		if root.name != "ossec_config" {
			continue
		}
		for _, block := range root.children {
			switch block.name {
			case "cluster":
				m.cluster(block, vars)
			case "remote":
				if isSyslog(block) {
					continue
				}
				if secure++; secure == 2 {
					m.caution("it has more than one <remote> of agents: Pulse reads the port of the last")
				}
				m.remote(block)
			}
		}
	}
	m.Worker = m.Worker && m.Clustered
	return m
}

// caution notes a text once.
func (m *Manager) caution(text string) {
	if !slices.Contains(m.Cautions, text) && len(m.Cautions) < maxErrors {
		m.Cautions = append(m.Cautions, text)
	}
}

func (m *Manager) remote(n *node) {
	for _, c := range n.children {
		if c.name == "ipv6" && strings.EqualFold(c.value(), "yes") {
			m.caution("its <remote> has <ipv6>: Pulse as the agents' manager listens on <local_ip> alone, which may be ::")
		}
	}
}

func (m *Manager) cluster(n *node, vars map[string]string) {
	m.Clustered = true
	for _, c := range n.children {
		switch c.name {
		case "node_name":
			m.NodeName, m.line = c.value(), c.line
			if !strings.HasPrefix(m.NodeName, "$") {
				continue
			}
			value, ok := vars[m.NodeName]
			if !ok {
				m.caution(fmt.Sprintf("its <node_name> is the variable %s, which the file does not set: give this node a name with <pulse><node_name>", quote(m.NodeName)))
			}
			m.NodeName = value
		case "node_type":
			m.Worker = strings.EqualFold(c.value(), "worker")
		case "disabled":
			m.Clustered = !strings.EqualFold(c.value(), "yes")
		}
	}
}

// named reports whether the file names this node, and not every manager.
func (m *Manager) named() bool {
	return m.NodeName != "" && (m.Clustered || m.NodeName != packagedName)
}

// isSyslog reports whether a <remote> concerns no agent.
func isSyslog(n *node) bool {
	for _, c := range n.children {
		if c.name == "connection" && c.value() == "syslog" {
			return true
		}
	}
	return false
}

// takeManagerName names the node as the manager in <home> does, if there is one and nothing else names it.
func (ld *loader) takeManagerName() {
	home := ld.loaded.Pulse.Home
	if ld.clusterOrigin.file != "" || ld.loaded.Pulse.Link == "listen" || ld.failed[pathHome] {
		return
	}
	if m, err := ReadManager(home); err == nil && m.named() {
		ld.clusterName, ld.clusterOrigin = m.NodeName, origin{managerFile(home), m.line, ""}
	}
}

// addManagers takes what concerns Pulse out of a manager's own file. What it cannot use
// of it is a warning: the manager may do with it.
func (ld *loader) addManagers(file string, roots []*node) {
	warn := func(line int, problem, hint string) {
		if len(ld.loaded.Warnings) < maxErrors {
			ld.loaded.Warnings = append(ld.loaded.Warnings, &Error{file, line, problem, hint})
		}
	}
	m := managerOf(roots)
	for _, text := range m.Cautions {
		warn(0, text, "")
	}
	if m.named() {
		ld.clusterName, ld.clusterOrigin = m.NodeName, origin{file, m.line, ""}
	}
	vars := variables(roots)
	for _, root := range roots {
		for _, block := range root.children {
			if root.name != "ossec_config" {
				continue
			}
			if block.name != "remote" {
				ld.ignore(block, "nats", "pulse", "remote")
				continue
			}
			if isSyslog(block) {
				continue
			}
			for _, c := range block.children {
				s := lookup("remote/" + c.name)
				if s == nil {
					ld.ignore(c, "manager_keepalive")
					continue
				}
				value := c.value()
				if v, ok := vars[value]; ok {
					value = v
				}
				if err := s.field(&ld.loaded.Config).parse(value); err != nil {
					problem, hint := refusal(err, s, s.field(&ld.loaded.Config))
					warn(c.line, s.quote(value)+": "+problem+": passed over", hint)
					continue
				}
				ld.loaded.origins[s.path] = origin{file, c.line, ""}
			}
		}
	}
}
