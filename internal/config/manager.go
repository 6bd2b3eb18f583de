package config

import (
	"path/filepath"
	"strings"
)

// Manager is what a stock manager's own ossec.conf says of its place in a cluster.
type Manager struct {
	NodeName  string // "" if the file does not say
	Clustered bool
	Worker    bool
	line      int // of the name
}

// ReadManager reads the ossec.conf of the manager that lives in home. It is as lenient as the manager: what it does not
// need it passes over. Its error is an [*Error], or wraps that of the file.
func ReadManager(home string) (Manager, error) {
	path := managerFile(home)
	data, err := readFile(path)
	if err != nil {
		return Manager{}, err
	}
	roots, bad := parseXML(data)
	if bad != nil {
		bad.File = path
		return Manager{}, bad
	}
	// A block without <disabled> is one of a cluster.
	var m Manager
	for _, root := range roots {
		for _, block := range root.children {
			if root.name == "ossec_config" && block.name == "cluster" {
				m.cluster(block)
			}
		}
	}
	m.Worker = m.Worker && m.Clustered
	return m, nil
}

func managerFile(home string) string { return filepath.Join(home, "etc/ossec.conf") }

func (m *Manager) cluster(n *node) {
	m.Clustered = true
	for _, c := range n.children {
		switch c.name {
		case "node_name":
			m.NodeName, m.line = c.value(), c.line
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
