package attach

import "strings"

// Place is the manager's in its cluster. The zero value is a manager alone.
type Place struct {
	Node   string // this node's name, by which its agents' rows say so
	Worker bool   // its changes wait for the master to fetch them
}

// caution is what whoever has losses written at this place should know; empty if there
// is nothing.
func (p Place) caution() string {
	if !p.Worker {
		return ""
	}
	return "a worker is not told when an agent moves to another node: such an agent is taken for lost, also in the master's database, until the master hears of it"
}

// cautionWayOut is what can be done about it.
const cautionWayOut = "where agents change nodes, as behind a load balancer, set <update_status> to no on workers"

func (p Place) clustered() bool { return p.Node != "" }

// ours is the SQL condition for the agents that this node watches: in a cluster
// those that report to it. Who never came reports to nobody, and is the master's.
func (p Place) ours() string {
	switch {
	case !p.clustered():
		return "id > 0"
	case p.Worker:
		return "id > 0 AND coalesce(node_name, '') = " + quoted(p.Node)
	}
	return "id > 0 AND (coalesce(node_name, '') = " + quoted(p.Node) + " OR connection_status = 'never_connected')"
}

// others is the condition for all other agents.
func (p Place) others() string { return "id > 0 AND NOT (" + p.ours() + ")" }

// quoted writes an SQL string. wazuh-db takes no semicolon anywhere.
func quoted(text string) string {
	return "'" + strings.ReplaceAll(strings.ReplaceAll(text, "'", "''"), ";", "") + "'"
}
