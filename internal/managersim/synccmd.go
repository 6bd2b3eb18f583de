package managersim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// The commands of the cluster's daemon, which carries a worker's agents to the
// master, and the one about the file.

// synced by kind: what the master is told of an agent.
var syncColumns = []struct{ kind, columns string }{
	{syncAll, `id, name, ip, os_name, os_version, os_major, os_minor, os_codename, os_build, os_platform, os_uname, os_arch, version,
 config_sum, merged_sum, manager_host, node_name, last_keepalive, connection_status, disconnection_time, group_config_status, status_code`},
	{syncStatus, `id, last_keepalive, connection_status, disconnection_time, status_code`},
	{syncKeepAlive, `id, last_keepalive`},
}

// syncInfo answers `[last_id N]` with what waits for the master, which waits no longer then.
func (s *store) syncInfo(args string) (answer, error) {
	last := number(strings.TrimPrefix(args, "last_id "))
	var all []json.RawMessage
	for _, k := range syncColumns {
		rows, err := s.rows(`UPDATE agent SET sync_status = 'synced' WHERE id > ? AND sync_status = ? RETURNING `+k.columns, last, k.kind)
		if err != nil {
			return nil, err
		}
		all = append(all, rows...)
	}
	return page(all, nil)
}

// takeInfo is the master's side.
func (s *store) takeInfo(args string) (answer, error) {
	var agents []map[string]any
	if err := decode(args, &agents); err != nil {
		return nil, err
	}
	known := strings.FieldsFunc(agentColumns, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '"' })
	for _, a := range agents {
		var columns, marks, updates []string
		var values []any
		for _, name := range known {
			if v, has := a[name]; has {
				columns, marks, values = append(columns, `"`+name+`"`), append(marks, "?"), append(values, v)
				updates = append(updates, fmt.Sprintf(`%q = excluded.%[1]q`, name))
			}
		}
		if !slices.Contains(columns, `"id"`) {
			return nil, badData(args)
		}
		if err := s.exec(`INSERT INTO agent (`+strings.Join(columns, ", ")+`, date_add) VALUES (`+strings.Join(marks, ", ")+`, ?)
 ON CONFLICT (id) DO UPDATE SET `+strings.Join(updates, ", "), append(values, s.now())...); err != nil {
			return nil, err
		}
	}
	return done(nil)
}

// fragmentation tells of the file's free pages. How scattered the others are
// is not measured: a database this small is not.
func (s *store) fragmentation(string) (answer, error) {
	var free, pages int64
	if err := s.db.QueryRow(`SELECT freelist_count, page_count FROM pragma_freelist_count, pragma_page_count`).Scan(&free, &pages); err != nil {
		return nil, err
	}
	return answer{fmt.Appendf(nil, `ok {"fragmentation":0,"free_pages_percentage":%d}`, 100*free/max(pages, 1))}, nil
}

// sync is what is left in an agent's sync_status when a change asks for some of it:
// what waits for the master already, and is more, stays.
func (s *store) sync(id int64, asked string) string {
	kinds := []string{syncKeepAlive, syncStatus, syncAll}
	more := slices.Index(kinds, asked)
	if more < 0 {
		return asked
	}
	var waits string
	s.statements.Add(1)
	if err := s.db.QueryRow(`SELECT sync_status FROM agent WHERE id = ?`, id).Scan(&waits); err == nil && slices.Index(kinds, waits) > more {
		return waits
	}
	return asked
}
