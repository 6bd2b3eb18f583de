package managersim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// The commands of the cluster's daemon, which carries a worker's agents to the
// master, and the one about the file.

// syncColumns are the columns that the master receives of an agent, by sync_status.
var syncColumns = []struct{ kind, columns string }{
	{syncAll, `id, name, ip, os_name, os_version, os_major, os_minor, os_codename, os_build, os_platform, os_uname, os_arch, version,
 config_sum, merged_sum, manager_host, node_name, last_keepalive, connection_status, disconnection_time, group_config_status, status_code`},
	{syncStatusOnly, `id, last_keepalive, connection_status, disconnection_time, status_code`},
	{syncKeepAlive, `id, last_keepalive`},
}

// getAgentSync answers `[last_id N]` with the agents that wait for the master,
// and marks them as synced.
func (s *store) getAgentSync(args string) (answer, error) {
	last := parseNumber(strings.TrimPrefix(args, "last_id "))
	var all []json.RawMessage
	for _, k := range syncColumns {
		rows, err := s.queryRows(`UPDATE agent SET sync_status = 'synced' WHERE id > ? AND sync_status = ? RETURNING `+s.dialect.presentColumns(k.columns), last, k.kind)
		if err != nil {
			return nil, err
		}
		all = append(all, rows...)
	}
	return pagedAnswer(all, nil)
}

// setAgentSync is the master's side of it.
func (s *store) setAgentSync(args string) (answer, error) {
	var agents []map[string]any
	if err := decodeArgs(args, &agents); err != nil {
		return nil, err
	}
	known := strings.FieldsFunc(s.dialect.presentColumns(agentColumns), func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '"' })
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
			return nil, jsonDataError(args)
		}
		if err := s.execute(`INSERT INTO agent (`+strings.Join(columns, ", ")+`, date_add) VALUES (`+strings.Join(marks, ", ")+`, ?)
 ON CONFLICT (id) DO UPDATE SET `+strings.Join(updates, ", "), append(values, s.now())...); err != nil {
			return nil, err
		}
	}
	return okAnswer(nil)
}

// getFragmentation returns the share of free pages in the file. The
// fragmentation of the others is not measured: this database is too small.
func (s *store) getFragmentation(string) (answer, error) {
	var free, pages int64
	if err := s.db.QueryRow(`SELECT freelist_count, page_count FROM pragma_freelist_count, pragma_page_count`).Scan(&free, &pages); err != nil {
		return nil, err
	}
	return answer{fmt.Appendf(nil, `ok {"fragmentation":0,"free_pages_percentage":%d}`, 100*free/max(pages, 1))}, nil
}

// mergeSyncStatus returns an agent's sync_status after a change: a status that
// already asks for more stays.
func (s *store) mergeSyncStatus(id int64, asked string) string {
	kinds := []string{syncKeepAlive, syncStatusOnly, syncAll}
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
