package managersim

import (
	"database/sql"
	_ "embed"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	_ "modernc.org/sqlite" // a database driver without C
)

//go:embed schema.sql
var schema string

// store is the global database, in a file as wazuh-db has it. One statement
// runs at a time, as in wazuh-db, which locks it.
type store struct {
	db         *sql.DB
	now        func() int64 // Unix seconds
	statements atomic.Uint64
	rows       atomic.Uint64 // of queries of clients
	dialect    dialect
	commits    commits // of a manager of 5
}

// dialect is the version of the tables and commands.
type dialect uint8

const (
	wazuh4   dialect = iota
	before46         // there is no column status_code
	wazuh5
)

// openStore opens the database in a file, and creates the tables in a new one.
func openStore(path string, now func() int64, d dialect) (*store, error) {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(memory)&_pragma=synchronous(off)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	s := &store{db: db, now: now, dialect: d}
	var tables int
	if err := db.QueryRow(`SELECT count(*) FROM sqlite_master`).Scan(&tables); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if tables > 0 {
		return s, nil
	}
	text := schema
	if d == wazuh5 {
		text = schemaOf5
	}
	if _, err := db.Exec(s.adaptText(text)); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("make the tables of %s: %w", path, err)
	}
	return s, nil
}

func (s *store) execute(query string, args ...any) error {
	s.statements.Add(1)
	s.commitIfDue()
	_, err := s.db.Exec(s.adaptText(query), args...)
	return err
}

// adaptText rewrites a text about today's agent table for a manager before
// 4.6: that has no status_code, and its sync_status only distinguishes synced
// from syncreq. In 5 there are no nodes' names.
func (s *store) adaptText(text string) string {
	switch s.dialect {
	case wazuh5:
		return strings.Replace(text, "coalesce(node_name, '')", "''", 1)
	case wazuh4:
		return text
	}
	return strings.NewReplacer("status_code", "nobodys_code", "'db_version', '7'", "'db_version', '4'",
		"'synced', 'syncreq', 'syncreq_status', 'syncreq_keepalive'", "'synced', 'syncreq'").Replace(text)
}

// queryRows runs a query and returns each row as JSON.
func (s *store) queryRows(query string, args ...any) (all []json.RawMessage, err error) {
	s.statements.Add(1)
	rows, err := s.db.Query(query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err returns the error
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	values, into := make([]any, len(names)), make([]any, len(names))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		all = append(all, rowJSON(names, values))
	}
	s.rows.Add(uint64(len(all)))
	return all, rows.Err()
}

// rowJSON returns a row as wazuh-db writes it: without the columns that are
// null.
func rowJSON(names []string, values []any) json.RawMessage {
	b := []byte{'{'}
	for i, v := range values {
		if v == nil {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(appendText(b, names[i]), ':')
		switch v := v.(type) {
		case int64:
			b = strconv.AppendInt(b, v, 10)
		case float64:
			b = strconv.AppendFloat(b, v, 'g', -1, 64)
		case []byte:
			b = appendText(b, string(v))
		default:
			b = appendText(b, fmt.Sprint(v))
		}
	}
	return append(b, '}')
}

// appendText appends a JSON string in which '<', '>' and '&' are not escaped.
func appendText(b []byte, text string) []byte {
	b = append(b, '"')
	for _, c := range []byte(text) {
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ' && shortEscapes[c] != 0:
			b = append(b, '\\', shortEscapes[c])
		case c < ' ':
			b = fmt.Appendf(b, `\u%04x`, c)
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

var shortEscapes = [' ']byte{'\b': 'b', '\f': 'f', '\n': 'n', '\r': 'r', '\t': 't'}

// queryIDs runs a query for one column of numbers.
func (s *store) queryIDs(query string, args ...any) ([]int64, error) {
	s.statements.Add(1)
	s.commitIfDue()
	rows, err := s.db.Query(s.adaptText(query), args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var all []int64
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		all = append(all, id)
	}
	return all, rows.Err()
}
