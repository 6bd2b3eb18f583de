package config

import (
	"os"
	"strings"
)

const (
	// hostDefault is what the reference has as the default of the node's name.
	hostDefault = "the host's name"
	// packagedName is the name in the cluster block of every manager's packaged
	// ossec.conf, where no cluster is set up: it names none of them.
	packagedName = "node01"
	// namelessNode is the name of a node whose host has none that can be used.
	namelessNode = "pulse"
	// nodeNameMax is what a certificate and a bucket's key take, too.
	nodeNameMax = 64
)

// nodeNameOfHost returns this host's name as a name for the node.
func nodeNameOfHost() string {
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	return nodeName(host)
}

// nodeName makes one NATS token of a host's name: letters, digits, - and _ as they
// are, - for anything else, as for the dots of a domain.
func nodeName(host string) string {
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
