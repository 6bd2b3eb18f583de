package managersim

import (
	"encoding/json"
	"strings"
)

// The commands that read and change agents.

const agentColumns = `id, name, ip, register_ip, internal_key, os_name, os_version, os_major, os_minor, os_codename,
 os_build, os_platform, os_uname, os_arch, version, config_sum, merged_sum, manager_host, node_name, date_add,
 last_keepalive, "group", group_hash, group_sync_status, sync_status, connection_status, disconnection_time,
 group_config_status, status_code`

func (s *store) getAgentInfo(args string) (answer, error) {
	return pagedAnswer(s.queryRows(`SELECT `+agentColumns+` FROM agent WHERE id = ?`, parseNumber(args)))
}

// getAllAgents answers `last_id N`, page by page, or `context`, agent by
// agent.
func (s *store) getAllAgents(args string) (answer, error) {
	if args == "context" {
		rows, err := s.queryRows(`SELECT id, version, name, ip FROM agent ORDER BY id`)
		var all answer
		for _, r := range rows {
			all = append(all, append([]byte("due "), r...))
		}
		return append(all, []byte("ok []")), err
	}
	last, found := strings.CutPrefix(args, "last_id ")
	if !found {
		return nil, syntaxError(args)
	}
	return pagedAnswer(s.queryRows(`SELECT id FROM agent WHERE id > ? ORDER BY id`, parseNumber(last)))
}

// getAgentsByStatus answers `LAST_ID STATUS [NODE LIMIT]`; a limit of -1 means
// none.
func (s *store) getAgentsByStatus(args string) (answer, error) {
	f := strings.Fields(args)
	switch len(f) {
	case 0, 1:
		return nil, dbError("Invalid arguments 'connection_status' not found")
	case 2:
		return pagedAnswer(s.queryRows(`SELECT id FROM agent WHERE id > ? AND connection_status = ? ORDER BY id`, parseNumber(f[0]), f[1]))
	case 3:
		return nil, dbError("Invalid arguments 'limit' not found")
	}
	return pagedAnswer(s.queryRows(`SELECT id FROM agent WHERE id > ? AND connection_status = ? AND node_name = ? ORDER BY id LIMIT ?`,
		parseNumber(f[0]), f[1], f[2], parseNumber(f[3])))
}

// agentJSON has the fields of the commands that change an agent.
type agentJSON struct {
	ID         *int64  `json:"id"`
	Name       *string `json:"name"`
	IP         *string `json:"ip"`
	RegisterIP *string `json:"register_ip"`
	Key        *string `json:"internal_key"`
	Group      *string `json:"group"`
	Added      *int64  `json:"date_add"`
	Version    *string `json:"version"`
	Connection *string `json:"connection_status"`
	Sync       *string `json:"sync_status"`
	Code       *int64  `json:"status_code"`
}

func (s *store) findAgent(args string) (answer, error) {
	var a agentJSON
	if err := decodeArgs(args, &a); err != nil {
		return nil, err
	}
	if a.Name == nil || a.IP == nil {
		return nil, jsonDataError(args)
	}
	return pagedAnswer(s.queryRows(`SELECT id FROM agent WHERE name = ?1 AND (register_ip = ?2 OR register_ip LIKE ?2 || '/%')`, *a.Name, *a.IP))
}

func (s *store) selectAgentName(args string) (answer, error) {
	return pagedAnswer(s.queryRows(`SELECT name FROM agent WHERE id = ?`, parseNumber(args)))
}

func (s *store) insertAgent(args string) (answer, error) {
	var a agentJSON
	if err := decodeArgs(args, &a); err != nil {
		return nil, err
	}
	if a.ID == nil || a.Name == nil || a.Added == nil {
		return nil, jsonDataError(args)
	}
	return okAnswer(s.execute(`INSERT INTO agent (id, name, ip, register_ip, internal_key, "group", date_add) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		*a.ID, *a.Name, a.IP, a.RegisterIP, a.Key, a.Group, *a.Added))
}

func (s *store) renameAgent(args string) (answer, error) {
	var a agentJSON
	if err := decodeArgs(args, &a); err != nil {
		return nil, err
	}
	if a.ID == nil || a.Name == nil {
		return nil, jsonDataError(args)
	}
	return okAnswer(s.execute(`UPDATE agent SET name = ? WHERE id = ?`, *a.Name, *a.ID))
}

func (s *store) deleteAgent(args string) (answer, error) {
	id := parseNumber(args)
	queries := []string{`DELETE FROM agent WHERE id = ?`, `DELETE FROM belongs WHERE id_agent = ?`, `DELETE FROM labels WHERE id = ?`}
	if s.dialect == wazuh5 {
		queries = queries[:2]
	}
	for _, query := range queries {
		if err := s.execute(query, id); err != nil {
			return nil, err
		}
	}
	return okAnswer(nil)
}

// updateAgentData stores a keep-alive with new contents.
func (s *store) updateAgentData(args string) (answer, error) {
	var a struct {
		agentJSON
		Labels string `json:"labels"`
	}
	var all map[string]any
	if err := decodeArgs(args, &a); err != nil {
		return nil, err
	}
	if err := decodeArgs(args, &all); err != nil || a.ID == nil || a.Connection == nil || a.Sync == nil {
		return nil, jsonDataError(args)
	}
	err := s.execute(`UPDATE agent SET os_name = ?, os_version = ?, os_major = ?, os_minor = ?, os_codename = ?, os_platform = ?, os_build = ?,
 os_uname = ?, os_arch = ?, version = ?, config_sum = ?, merged_sum = ?, manager_host = ?, node_name = ?, ip = ?,
 last_keepalive = ?, connection_status = ?, sync_status = ?, group_config_status = ? WHERE id = ?`,
		all["os_name"], all["os_version"], all["os_major"], all["os_minor"], all["os_codename"], all["os_platform"], all["os_build"],
		all["os_uname"], all["os_arch"], all["version"], all["config_sum"], all["merged_sum"], all["manager_host"], all["node_name"],
		all["agent_ip"], s.now(), *a.Connection, s.mergeSyncStatus(*a.ID, *a.Sync), all["group_config_status"], *a.ID)
	if err != nil || a.Labels == "" {
		return okAnswer(err)
	}
	return okAnswer(s.setLabels(*a.ID, a.Labels))
}

// updateKeepAlive stores a startup (pending), or a keep-alive without new
// contents (active), which leaves the values of an earlier disconnection.
func (s *store) updateKeepAlive(args string) (answer, error) {
	var a agentJSON
	if err := decodeArgs(args, &a); err != nil {
		return nil, err
	}
	if a.ID == nil || a.Connection == nil || a.Sync == nil {
		return nil, jsonDataError(args)
	}
	query := `UPDATE agent SET last_keepalive = ?, connection_status = ?, sync_status = ? WHERE id = ?`
	if *a.Connection == "pending" {
		query = `UPDATE agent SET last_keepalive = ?, connection_status = ?, sync_status = ?, disconnection_time = 0, status_code = 0 WHERE id = ?`
	}
	return okAnswer(s.execute(query, s.now(), *a.Connection, s.mergeSyncStatus(*a.ID, *a.Sync), *a.ID))
}

func (s *store) updateConnection(args string) (answer, error) {
	var a agentJSON
	if err := decodeArgs(args, &a); err != nil {
		return nil, err
	}
	if a.ID == nil || a.Connection == nil || a.Sync == nil || a.Code == nil {
		return nil, jsonDataError(args)
	}
	var since int64
	if *a.Connection == "disconnected" {
		since = s.now()
	}
	return okAnswer(s.execute(`UPDATE agent SET connection_status = ?, sync_status = ?, disconnection_time = ?, status_code = ? WHERE id = ?`,
		*a.Connection, s.mergeSyncStatus(*a.ID, *a.Sync), since, *a.Code, *a.ID))
}

func (s *store) updateStatusCode(args string) (answer, error) {
	var a agentJSON
	if err := decodeArgs(args, &a); err != nil {
		return nil, err
	}
	if a.ID == nil || a.Code == nil || a.Sync == nil {
		return nil, jsonDataError(args)
	}
	return okAnswer(s.execute(`UPDATE agent SET status_code = ?, version = ?, sync_status = ? WHERE id = ?`, *a.Code, a.Version, s.mergeSyncStatus(*a.ID, *a.Sync), *a.ID))
}

// resetConnections is requested by remoted when it starts.
func (s *store) resetConnections(sync string) (answer, error) {
	return okAnswer(s.execute(`UPDATE agent SET connection_status = 'disconnected', status_code = 5, disconnection_time = ?, sync_status = ?
 WHERE id > 0 AND connection_status IN ('active', 'pending')`, s.now(), sync))
}

// disconnectSilent answers `LAST_ID BEFORE SYNC_STATUS`, monitord's sweep,
// with the agents that were not disconnected before.
func (s *store) disconnectSilent(args string) (answer, error) {
	f := strings.Fields(args)
	if len(f) < 3 {
		return nil, dbError("Invalid arguments sync_status not found")
	}
	ids, err := s.queryIDs(`UPDATE agent SET connection_status = 'disconnected', status_code = 4, disconnection_time = ?, sync_status = ?
 WHERE id > ? AND last_keepalive < ? AND connection_status IN ('active', 'pending') RETURNING id`, s.now(), f[2], parseNumber(f[0]), parseNumber(f[1]))
	var rows []json.RawMessage
	for _, id := range ids {
		rows = append(rows, rowJSON([]string{"id"}, []any{id}))
	}
	return pagedAnswer(rows, err)
}
