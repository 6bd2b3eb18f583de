package wazuhdb

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/wazuh-pulse/pulse/internal/agentinfo"
	"github.com/wazuh-pulse/pulse/internal/printable"
)

// Schema is what the table of agents is like, which has changed in the course of Wazuh 4,
// and with Wazuh 5.
type Schema struct {
	Version int    // wazuh-db's number
	Manager string // the manager's version in its own words; empty if unknown
	Wazuh5  bool   // the tables are those of Wazuh 5, and Version is another number

	missing [len(infoColumns)]bool // which of infoColumns there are not
}

// infoColumns are the columns of what is known of an agent besides its address, and the
// fields of a pageRow. Every version since 4.3 has them; Pulse does without one that is gone.
// In brackets, because SQLite takes a name in quotes that is no column for a text.
var infoColumns = [...]struct {
	name, field string
	most        int // bytes that are of use
}{
	{"[os_name]", "o", agentinfo.MaxOSName},
	{"[os_version]", "v", agentinfo.MaxOSVersion},
	{"[version]", "w", agentinfo.MaxVersion + len("Wazuh ")},
	{"[group]", "g", agentinfo.MaxGroups},
}

const (
	minSchema       = 3 // with the time of a disconnection, of Wazuh 4.3
	schemaCodes     = 5 // with its code, from 4.6 on
	schemaSyncKinds = 7 // with the part of an agent's row that a worker has to send to the master; of 2025
)

// ReadSchema returns the schema. It is read again after wazuh-db has been restarted, as
// that may be another version.
func (c *Client) ReadSchema(ctx context.Context) (Schema, error) {
	if s := c.known.Load(); s != nil {
		return *s, nil
	}
	row, err := selectRow[struct {
		Schema  int    `json:"s"`
		Manager string `json:"v"`
	}](ctx, c, "SELECT (SELECT CAST(value AS INTEGER) FROM metadata WHERE key = 'db_version') AS s, (SELECT "+boundedTextSQL("version", MaxAddr)+" FROM agent WHERE id = 0) AS v")
	if refused, ok := errors.AsType[RefusedError](err); ok && strings.Contains(string(refused), "no such") {
		err = nil // there is no such table or column: other tables than those of Wazuh 4
	}
	if err != nil {
		return Schema{}, err
	}
	s := Schema{Version: row.Schema, Manager: printable.Brief(row.Manager, 60)}
	switch {
	case s.Version == 0:
		s, err = c.readSchema5(ctx)
	case s.Version < minSchema:
		err = fmt.Errorf("wazuh-db's tables are of version %d, and Pulse needs %d at least: update the manager to Wazuh 4.3 or later", s.Version, minSchema)
	default:
		err = c.findMissingColumns(ctx, &s)
	}
	if err == nil {
		err = c.checkFiles(s)
	}
	if err != nil {
		return Schema{}, err
	}
	c.known.Store(&s)
	return s, nil
}

// findMissingColumns records which of infoColumns there are not: with one statement if there
// are all, else with one for each.
func (c *Client) findMissingColumns(ctx context.Context, s *Schema) error {
	names := make([]string, len(infoColumns), len(infoColumns)+1)
	for i := range infoColumns {
		names[i] = infoColumns[i].name
	}
	there, err := c.hasColumns(ctx, strings.Join(append(names, nodeColumn), ", "))
	if there || err != nil {
		return err
	}
	if there, err = c.hasColumns(ctx, nodeColumn); err != nil {
		return err
	} else if !there {
		return unknownLayoutError(fmt.Sprintf("metadata has the db_version %d, and the table agent has no column %s", s.Version, nodeColumn))
	}
	for i, name := range names {
		there, err := c.hasColumns(ctx, name)
		if err != nil {
			return err
		}
		s.missing[i] = !there
	}
	return nil
}

// hasColumns reports whether the table of agents has all of some columns.
func (c *Client) hasColumns(ctx context.Context, list string) (bool, error) {
	_, err := c.Query(ctx, "global sql SELECT "+list+" FROM agent WHERE id < 0")
	if _, refused := errors.AsType[RefusedError](err); refused {
		return false, nil
	}
	return err == nil, err
}

func (s Schema) hasCodes() bool     { return s.Wazuh5 || s.Version >= schemaCodes }
func (s Schema) hasSyncKinds() bool { return s.Wazuh5 || s.Version >= schemaSyncKinds }

// disconnectionCodeSQL is the SQL for why an agent is disconnected: 0 where that is unknown.
func (s Schema) disconnectionCodeSQL() string {
	if !s.hasCodes() {
		return "0"
	}
	return boundedNumberSQL("status_code")
}

// rowColumnsSQL are the columns of a Row, each bounded.
func (s Schema) rowColumnsSQL() string {
	columns := boundedNumberSQL("id") + " AS i, " + boundedTextSQL("name", MaxName) + " AS n, " + boundedTextSQL("ip", MaxAddr) + " AS a, " +
		boundedTextSQL("register_ip", MaxAddr) + " AS r, " + boundedTextSQL("connection_status", maxStatus) + " AS s, " +
		s.disconnectionCodeSQL() + " AS c, " + boundedNumberSQL("last_keepalive") + " AS k"
	if s.Wazuh5 {
		return columns + ", " + passiveColumnSQL + " AS p"
	}
	return columns + ", " + boundedTextSQL(nodeColumn, maxNodeName) + " AS h"
}

// pageColumnsSQL are the columns of a pageRow, each bounded: one row has less than 20 KiB,
// also if each byte is written as six.
func (s Schema) pageColumnsSQL() string { return s.rowColumnsSQL() + s.infoColumnsSQL() }

// infoColumnsSQL are the columns of an infoRow, behind others.
func (s Schema) infoColumnsSQL() (columns string) {
	for i, column := range infoColumns {
		if !s.missing[i] {
			columns += ", " + boundedTextSQL(column.name, column.most) + " AS " + column.field
		}
	}
	return columns
}

// IsLossCode reports whether a code is the one that SetDisconnected leaves in a row.
func (s Schema) IsLossCode(code int) bool { return code == CodeNoKeepAlive || !s.hasCodes() }

// syncStatusAfterWrite is what a change of status leaves in sync_status. A worker writes only
// where its master has no Pulse that does.
func (s Schema) syncStatusAfterWrite(role ClusterRole) string {
	switch {
	case !role.Worker:
		return "synced"
	case !s.hasSyncKinds():
		return "syncreq"
	}
	return "syncreq_status"
}

// ClusterRole is the manager's place in its cluster. The zero value is a manager alone.
type ClusterRole struct {
	Node   string // this node's name, which its agents' rows have
	Worker bool   // the master fetches its changes
	// Shared is set if the nodes share a view of who has an agent. Then agents are watched
	// where they are seen, and rows only show where to look.
	Shared bool
}

// IsClustered reports whether the manager is part of a cluster.
func (r ClusterRole) IsClustered() bool { return r.Node != "" }

// IsMaster reports whether the manager is the master of a cluster. Its rows are also written by
// what workers send: every ten seconds or so, and a row's node only with an agent's first
// keep-alive there.
func (r ClusterRole) IsMaster() bool { return r.IsClustered() && !r.Worker }

// Ours reports whether a row shows that its agent is on this node. Of a worker's rows one whose
// last keep-alive has moved does, whatever node it names: nobody else writes them.
func (r ClusterRole) Ours(row *Row, moved bool) bool {
	return !r.IsClustered() || r.Worker && moved || row.Node == r.Node
}

// ownAgentsSQL is the SQL condition for the agents that by their rows are this node's: in a
// cluster those that report to it. Those that never connected report to no node, and are the
// master's. Workers are not sent the agents of others, so one that is active there is there.
// In Wazuh 5 no row has a node: each node has all, and watches those that it sees.
func (s Schema) ownAgentsSQL(r ClusterRole) string {
	node := "coalesce(node_name, '') = " + quoteSQLText(r.Node)
	switch {
	case !r.IsClustered(), s.Wazuh5:
		return "id > 0"
	case r.Worker && r.Shared:
		return "id > 0 AND (" + node + " OR connection_status IN ('active', 'pending'))"
	case r.Worker:
		return "id > 0 AND " + node
	}
	return "id > 0 AND (" + node + " OR connection_status = 'never_connected')"
}

// changedAgentsSQL is the SQL condition for the agents whose changes matter to this node:
// on a worker all, as what changes there is there. On the master also those that have just
// started somewhere, and what is in scope.
func (s Schema) changedAgentsSQL(r ClusterRole, scope Scope) string {
	switch {
	case !r.IsClustered(), s.Wazuh5, r.Worker, r.Shared && scope.All:
		return "id > 0"
	case !r.Shared:
		return s.ownAgentsSQL(r)
	}
	list := quoteSQLText(r.Node)
	for _, node := range scope.Nodes {
		list += ", " + quoteSQLText(node)
	}
	return "id > 0 AND (coalesce(node_name, '') IN (" + list + ") OR connection_status IN ('never_connected', 'pending'))"
}

// inventoryAgentsSQL is the SQL condition for the agents whose coming and going is followed.
// Where agents are watched by sight, their moving to another node is no such change.
func (s Schema) inventoryAgentsSQL(r ClusterRole) string {
	if r.Shared {
		return "id > 0"
	}
	return s.ownAgentsSQL(r)
}

func (s Schema) otherAgentsSQL(r ClusterRole) string {
	return "id > 0 AND NOT (" + s.ownAgentsSQL(r) + ")"
}

// quoteSQLText returns an SQL string. wazuh-db accepts no semicolon anywhere.
func quoteSQLText(text string) string {
	return "'" + strings.ReplaceAll(strings.ReplaceAll(text, "'", "''"), ";", "") + "'"
}
