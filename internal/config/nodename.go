package config

import (
	"fmt"
	"os"
	"strings"
)

const (
	// hostDefault is the default of the node's name in the reference.
	hostDefault = "the host's name"
	// packagedName is the name in the cluster block of every manager's packaged
	// ossec.conf without a cluster, so that it identifies none of them.
	packagedName = "node01"
	// namelessNode is the name of a node whose host has none that can be used.
	namelessNode = "pulse"
	// nodeNameMax is also the limit of a certificate's name and of a bucket's key.
	nodeNameMax = 64
)

func nodeNameOfHost() string {
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	return nodeNameFrom(host)
}

// nodeNameFrom makes one NATS token of a host's name: letters, digits, - and _ as they
// are, - for anything else, as for the dots of a domain.
func nodeNameFrom(host string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		}
		return '-'
	}, host)
	name = strings.TrimLeft(name, "-_")
	name = strings.TrimRight(name[:min(len(name), nodeNameMax)], "-_")
	if name == "" {
		return namelessNode
	}
	return name
}

// adoptClusterName uses the node name of the manager's cluster unless <pulse> has one, in whatever order the files came.
func (ld *loader) adoptClusterName() {
	o := ld.clusterOrigin
	if o.file == "" || ld.failed[pathNodeName] || ld.loaded.origins[pathNodeName].file != "" {
		return
	}
	name := lookupSetting(pathNodeName).field(&ld.loaded.Config)
	if err := name.setFromText(ld.clusterName); err != nil {
		ld.errs.addProblem(&Error{o.file, o.line, fmt.Sprintf("<node_name>%s</node_name>: %v", quoteBrief(ld.clusterName), err),
			"give this node a name of its own with <pulse><node_name>"})
		return
	}
	ld.loaded.origins[pathNodeName] = o
}

// adoptManagerName uses the node name of the manager in <home>, if there is one and no file has a name.
func (ld *loader) adoptManagerName() {
	home := ld.loaded.Pulse.Home
	if ld.clusterOrigin.file != "" || ld.loaded.Pulse.Link == "listen" || ld.failed[pathHome] {
		return
	}
	if m, err := ReadManager(home); err == nil && m.hasOwnName() {
		ld.clusterName, ld.clusterOrigin = m.NodeName, origin{managerFilePath(home), m.line, ""}
	}
}

// hasOwnName reports whether the file has a name of this node, other than the packaged one.
func (m *Manager) hasOwnName() bool {
	return m.NodeName != "" && (m.Clustered || m.NodeName != packagedName)
}
