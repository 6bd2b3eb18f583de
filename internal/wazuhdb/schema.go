package wazuhdb

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/wazuh-pulse/pulse/internal/agentinfo"
	"github.com/wazuh-pulse/pulse/internal/printable"
)

// Schema is what the table of agents is like, which has changed in the course of Wazuh 4.
type Schema struct {
	Version int    // wazuh-db's number
	Manager string // the manager's version in its own words; empty if unknown

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
	if err != nil {
		return Schema{}, err
	}
	s := Schema{Version: row.Schema, Manager: printable.Brief(row.Manager, 60)}
	if s.Version < minSchema {
		return Schema{}, fmt.Errorf("wazuh-db's tables are of version %d, and Pulse needs %d at least: update the manager to Wazuh 4.3 or later", s.Version, minSchema)
	}
	if err := c.findMissingColumns(ctx, &s); err != nil {
		return Schema{}, err
	}
	c.known.Store(&s)
	return s, nil
}

// findMissingColumns records which of infoColumns there are not: with one statement if there
// are all, else with one for each.
func (c *Client) findMissingColumns(ctx context.Context, s *Schema) error {
	names := make([]string, len(infoColumns))
	for i := range infoColumns {
		names[i] = infoColumns[i].name
	}
	there, err := c.hasColumns(ctx, strings.Join(names, ", "))
	if there || err != nil {
		return err
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

// disconnectionCodeSQL is the SQL for why an agent is disconnected: 0 where that is unknown.
func (s Schema) disconnectionCodeSQL() string {
	if s.Version < schemaCodes {
		return "0"
	}
	return boundedNumberSQL("status_code")
}

// rowColumnsSQL are the columns of a Row, each bounded.
func (s Schema) rowColumnsSQL() string {
	return boundedNumberSQL("id") + " AS i, " + boundedTextSQL("name", MaxName) + " AS n, " + boundedTextSQL("ip", MaxAddr) + " AS a, " +
		boundedTextSQL("register_ip", MaxAddr) + " AS r, " + boundedTextSQL("connection_status", maxStatus) + " AS s, " +
		s.disconnectionCodeSQL() + " AS c, " + boundedNumberSQL("last_keepalive") + " AS k"
}

// pageColumnsSQL are the columns of a pageRow, each bounded: one row has less than 20 KiB,
// also if each byte is written as six.
func (s Schema) pageColumnsSQL() string {
	columns := s.rowColumnsSQL()
	for i, column := range infoColumns {
		if !s.missing[i] {
			columns += ", " + boundedTextSQL(column.name, column.most) + " AS " + column.field
		}
	}
	return columns
}

// IsLossCode reports whether a code is the one that SetDisconnected leaves in a row.
func (s Schema) IsLossCode(code int) bool { return code == CodeNoKeepAlive || s.Version < schemaCodes }

// syncStatusAfterWrite is what a change of status leaves in sync_status.
func (s Schema) syncStatusAfterWrite(role ClusterRole) string {
	switch {
	case !role.Worker:
		return "synced"
	case s.Version < schemaSyncKinds:
		return "syncreq"
	}
	return "syncreq_status"
}

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

func (r ClusterRole) otherAgentsSQL() string { return "id > 0 AND NOT (" + r.ownAgentsSQL() + ")" }

// quoteSQLText returns an SQL string. wazuh-db accepts no semicolon anywhere.
func quoteSQLText(text string) string {
	return "'" + strings.ReplaceAll(strings.ReplaceAll(text, "'", "''"), ";", "") + "'"
}
