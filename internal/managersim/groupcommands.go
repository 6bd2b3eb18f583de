package managersim

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
)

// The commands about groups and labels.

// setLabels replaces an agent's labels by lines of KEY:VALUE.
func (s *store) setLabels(id int64, lines string) error {
	if err := s.execute(`DELETE FROM labels WHERE id = ?`, id); err != nil {
		return err
	}
	for line := range strings.Lines(lines) {
		key, value, found := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		if !found {
			continue
		}
		if err := s.execute(`INSERT OR REPLACE INTO labels (id, key, value) VALUES (?, ?, ?)`, id, key, value); err != nil {
			return err
		}
	}
	return nil
}

func (s *store) getLabels(args string) (answer, error) {
	return pagedAnswer(s.queryRows(`SELECT id, key, value FROM labels WHERE id = ? ORDER BY key`, parseNumber(args)))
}

func (s *store) selectAgentGroup(args string) (answer, error) {
	return pagedAnswer(s.queryRows(`SELECT "group" FROM agent WHERE id = ?`, parseNumber(args)))
}

const groupNames = `SELECT name FROM belongs JOIN "group" ON id_group = "group".id WHERE id_agent = ? ORDER BY priority`

// groupNamesOf are the groups of an agent, the one of least weight first.
func (s *store) groupNamesOf(id int64) ([]string, error) {
	s.statements.Add(1)
	rows, err := s.db.Query(groupNames, id)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	all := []string{}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		all = append(all, name)
	}
	return all, rows.Err()
}

func (s *store) selectAgentGroups(args string) (answer, error) {
	names, err := s.groupNamesOf(parseNumber(args))
	var rows []json.RawMessage
	for _, name := range names {
		rows = append(rows, appendText(nil, name))
	}
	return pagedAnswer(rows, err)
}

func (s *store) selectGroups(string) (answer, error) {
	return pagedAnswer(s.queryRows(`SELECT name FROM "group" ORDER BY name`))
}

func (s *store) findGroup(name string) (answer, error) {
	return pagedAnswer(s.queryRows(`SELECT id FROM "group" WHERE name = ?`, name))
}

// getGroupAgents answers `GROUP last_id N` with bare numbers.
func (s *store) getGroupAgents(args string) (answer, error) {
	group, last, found := strings.Cut(args, " last_id ")
	if !found {
		return nil, syntaxError(args)
	}
	order := "id_agent"
	if s.dialect == wazuh5 {
		order = "CAST(id_agent AS TEXT)"
	}
	ids, err := s.queryIDs(`SELECT id_agent FROM belongs JOIN "group" ON id_group = "group".id WHERE name = ? AND id_agent > ? ORDER BY `+order,
		group, parseNumber(last))
	var rows []json.RawMessage
	for _, id := range ids {
		text, _ := json.Marshal(id) // a number
		rows = append(rows, text)
	}
	return pagedAnswer(rows, err)
}

func (s *store) getDistinctGroups(string) (answer, error) {
	return pagedAnswer(s.queryRows(`SELECT DISTINCT "group", group_hash FROM agent WHERE id > 0 AND group_hash IS NOT NULL ORDER BY group_hash`))
}

// setGroups gives agents groups: append adds, empty_only gives them to an agent
// without any, override replaces, remove takes away.
func (s *store) setGroups(args string) (answer, error) {
	var q struct {
		Mode string `json:"mode"`
		Sync string `json:"sync_status"`
		Data []struct {
			ID     int64    `json:"id"`
			Groups []string `json:"groups"`
		} `json:"data"`
	}
	if err := decodeArgs(args, &q); err != nil {
		return nil, err
	}
	for _, a := range q.Data {
		has, err := s.groupNamesOf(a.ID)
		if err != nil {
			return nil, err
		}
		if q.Mode == "empty_only" && len(has) > 0 {
			continue
		}
		if q.Mode == "override" {
			if err := s.execute(`DELETE FROM belongs WHERE id_agent = ?`, a.ID); err != nil {
				return nil, err
			}
		}
		for _, group := range a.Groups {
			if err := s.setMembership(a.ID, group, q.Mode == "remove"); err != nil {
				return nil, err
			}
		}
		if err := s.updateGroupHash(a.ID, q.Sync); err != nil {
			return nil, err
		}
	}
	return okAnswer(nil)
}

func (s *store) setMembership(id int64, group string, not bool) error {
	if not {
		return s.execute(`DELETE FROM belongs WHERE id_agent = ? AND id_group = (SELECT id FROM "group" WHERE name = ?)`, id, group)
	}
	if err := s.execute(`INSERT OR IGNORE INTO "group" (name) VALUES (?)`, group); err != nil {
		return err
	}
	return s.execute(`INSERT OR IGNORE INTO belongs (id_agent, id_group, priority)
 SELECT ?1, "group".id, (SELECT count(*) FROM belongs WHERE id_agent = ?1) FROM "group" WHERE name = ?2`, id, group)
}

// updateGroupHash writes an agent's groups into its row, with the first eight digits of their sum.
func (s *store) updateGroupHash(id int64, sync string) error {
	names, err := s.groupNamesOf(id)
	if err != nil {
		return err
	}
	all := strings.Join(names, ",")
	if all == "" {
		return s.execute(`UPDATE agent SET "group" = NULL, group_hash = NULL, group_sync_status = ? WHERE id = ?`, sync, id)
	}
	sum := sha256.Sum256([]byte(all))
	return s.execute(`UPDATE agent SET "group" = ?, group_hash = ?, group_sync_status = ? WHERE id = ?`, all, hex.EncodeToString(sum[:4]), sync, id)
}

// computeGlobalHash is the sum over the groups of all agents.
func (s *store) computeGlobalHash() (string, error) {
	var all string
	s.statements.Add(1)
	err := s.db.QueryRow(`SELECT coalesce(group_concat(group_hash, '' ORDER BY id), '') FROM agent WHERE id > 0`).Scan(&all)
	sum := sha1.Sum([]byte(all))
	return hex.EncodeToString(sum[:]), err
}

func (s *store) getGroupSync(args string) (answer, error) {
	var q struct {
		Condition string `json:"condition"`
		Last      int64  `json:"last_id"`
		Hash      bool   `json:"get_global_hash"`
	}
	if err := decodeArgs(args, &q); err != nil {
		return nil, err
	}
	type member struct {
		ID     int64    `json:"id"`
		Name   string   `json:"name"`
		Groups []string `json:"groups"`
	}
	type members struct {
		Data []member `json:"data"`
		Hash string   `json:"hash,omitempty"`
	}
	all := members{Data: []member{}}
	ids, err := s.queryIDs(`SELECT id FROM agent WHERE id > ? AND (? = 'all' OR group_sync_status <> 'synced') ORDER BY id`, q.Last, q.Condition)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		m := member{ID: id}
		if err := s.db.QueryRow(`SELECT name FROM agent WHERE id = ?`, id).Scan(&m.Name); err != nil {
			return nil, err
		}
		if m.Groups, err = s.groupNamesOf(id); err != nil {
			return nil, err
		}
		all.Data = append(all.Data, m)
	}
	if q.Hash {
		if all.Hash, err = s.computeGlobalHash(); err != nil {
			return nil, err
		}
	}
	text, err := json.Marshal(all)
	return rowsAnswer(text), err
}

func (s *store) getGroupsIntegrity(hash string) (answer, error) {
	ours, err := s.computeGlobalHash()
	if hash != ours {
		return rowsAnswer(json.RawMessage(`"hash_mismatch"`)), err
	}
	return rowsAnswer(json.RawMessage(`"synced"`)), err
}
