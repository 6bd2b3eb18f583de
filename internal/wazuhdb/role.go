package wazuhdb

import "strings"

// ClusterRole is the manager's place in its cluster. The zero value is a manager alone.
type ClusterRole struct {
	Node   string // this node's name, which its agents' rows have
	Worker bool   // the master fetches its changes
}

// IsClustered reports whether the manager is part of a cluster.
func (r ClusterRole) IsClustered() bool { return r.Node != "" }

// ownAgentsSQL is the SQL condition for the agents that this node watches: in a cluster those
// that report to it. Those that never connected report to no node, and are the master's.
func (r ClusterRole) ownAgentsSQL() string {
	switch {
	case !r.IsClustered():
		return "id > 0"
	case r.Worker:
		return "id > 0 AND coalesce(node_name, '') = " + quoteSQLText(r.Node)
	}
	return "id > 0 AND (coalesce(node_name, '') = " + quoteSQLText(r.Node) + " OR connection_status = 'never_connected')"
}

// otherAgentsSQL is the condition for all other agents.
func (r ClusterRole) otherAgentsSQL() string { return "id > 0 AND NOT (" + r.ownAgentsSQL() + ")" }

// quoteSQLText returns an SQL string. wazuh-db accepts no semicolon anywhere.
func quoteSQLText(text string) string {
	return "'" + strings.ReplaceAll(strings.ReplaceAll(text, "'", "''"), ";", "") + "'"
}
