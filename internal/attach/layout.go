package attach

import (
	"context"
	"errors"
	"fmt"

	"github.com/wazuh-pulse/pulse/internal/printable"
)

// layout is what the table of agents is like in the manager's database, which has
// changed in the course of Wazuh 4.
type layout struct {
	schema  int    // wazuh-db's number of it
	manager string // the manager's version in its own words; empty if they are not known
}

const (
	schemaLeast     = 3 // with the time of a disconnection, of Wazuh 4.3
	schemaCodes     = 5 // with its code, from 4.6 on
	schemaSyncKinds = 7 // with what of an agent a worker has to tell its master; of 2025
)

// layout returns what the table is like. A wazuh-db that is started anew may be another one.
func (db *database) layout(ctx context.Context) (layout, error) {
	if l := db.known.Load(); l != nil {
		return *l, nil
	}
	rows, err := sql[struct {
		Schema  int    `json:"s"`
		Manager string `json:"v"`
	}](ctx, db, "SELECT (SELECT CAST(value AS INTEGER) FROM metadata WHERE key = 'db_version') AS s, (SELECT "+boundedText("version", maxAddr)+" FROM agent WHERE id = 0) AS v")
	if err != nil || len(rows) != 1 {
		return layout{}, errors.Join(err, oddRows(len(rows), err))
	}
	l := layout{rows[0].Schema, printable.Brief(rows[0].Manager, 60)}
	if l.schema < schemaLeast {
		return layout{}, fmt.Errorf("wazuh-db's tables are of version %d, and Pulse needs %d at least: update the manager to Wazuh 4.3 or later", l.schema, schemaLeast)
	}
	db.known.Store(&l)
	return l, nil
}

// code is the SQL for why an agent is disconnected: 0 where that is not told.
func (l layout) code() string {
	if l.schema < schemaCodes {
		return "0"
	}
	return boundedNumber("status_code")
}

// columns are those of a row, each bounded: one row comes to less than 4 KiB.
func (l layout) columns() string {
	return boundedNumber("id") + " AS i, " + boundedText("name", maxName) + " AS n, " + boundedText("ip", maxAddr) + " AS a, " +
		boundedText("register_ip", maxAddr) + " AS r, " + boundedText("connection_status", maxStatus) + " AS s, " +
		l.code() + " AS c, " + boundedNumber("last_keepalive") + " AS k"
}

// tells reports whether a code is the one that a loss has here.
func (l layout) tells(code int) bool { return code == codeNoKeepAlive || l.schema < schemaCodes }

// sync is what a change of status leaves in sync_status.
func (l layout) sync(place Place) string {
	switch {
	case !place.Worker:
		return "synced"
	case l.schema < schemaSyncKinds:
		return "syncreq"
	}
	return "syncreq_status"
}
