package managersim

import (
	"encoding/json"
	"strconv"
	"strings"
)

// maxAnswer bounds one answer of wazuh-db.
const maxAnswer = 65536

// answer is the answer to a command: one frame or several.
type answer [][]byte

func rowsAnswer(rows ...json.RawMessage) answer { return answer{appendRows("ok ", rows)} }

func appendRows(status string, rows []json.RawMessage) []byte {
	b := append([]byte(status), '[')
	for i, r := range rows {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, r...)
	}
	return append(b, ']')
}

// okAnswer is the answer to a change.
func okAnswer(err error) (answer, error) { return answer{[]byte("ok")}, err }

// pagedAnswer returns as many rows as one answer may hold, and "due" if that
// is not all.
func pagedAnswer(rows []json.RawMessage, err error) (answer, error) {
	size := len("due []")
	for i, r := range rows {
		if size += len(r) + 1; size > maxAnswer {
			return answer{appendRows("due ", rows[:i])}, err
		}
	}
	return rowsAnswer(rows...), err
}

// command is one command of `global NAME ARGUMENTS`.
type command struct {
	run   func(s *store, args string) (answer, error)
	alone bool // it needs no arguments
}

var commands = map[string]command{
	"sql":                             {run: (*store).runSQL},
	"get-agent-info":                  {run: (*store).getAgentInfo},
	"get-all-agents":                  {run: (*store).getAllAgents},
	"get-agents-by-connection-status": {run: (*store).getAgentsByStatus},
	"find-agent":                      {run: (*store).findAgent},
	"select-agent-name":               {run: (*store).selectAgentName},
	"insert-agent":                    {run: (*store).insertAgent},
	"update-agent-name":               {run: (*store).renameAgent},
	"delete-agent":                    {run: (*store).deleteAgent},
	"update-agent-data":               {run: (*store).updateAgentData},
	"update-keepalive":                {run: (*store).updateKeepAlive},
	"update-connection-status":        {run: (*store).updateConnection},
	"update-status-code":              {run: (*store).updateStatusCode},
	"reset-agents-connection":         {run: (*store).resetConnections},
	"disconnect-agents":               {run: (*store).disconnectSilent},
	"get-labels":                      {run: (*store).getLabels},
	"select-agent-group":              {run: (*store).selectAgentGroup},
	"select-group-belong":             {run: (*store).selectAgentGroups},
	"select-groups":                   {run: (*store).selectGroups, alone: true},
	"find-group":                      {run: (*store).findGroup},
	"get-group-agents":                {run: (*store).getGroupAgents},
	"get-distinct-groups":             {run: (*store).getDistinctGroups, alone: true},
	"set-agent-groups":                {run: (*store).setGroups},
	"sync-agent-groups-get":           {run: (*store).getGroupSync},
	"get-groups-integrity":            {run: (*store).getGroupsIntegrity},
	"sync-agent-info-get":             {run: (*store).getAgentSync, alone: true},
	"sync-agent-info-set":             {run: (*store).setAgentSync},
	"get_fragmentation":               {run: (*store).getFragmentation, alone: true},
}

// runCommand answers `global REST`.
func (s *store) runCommand(rest string) (answer, error) {
	name, args, has := strings.Cut(rest, " ")
	c, known := s.dialect.commands()[name]
	if !known || !has && !c.alone {
		return nil, syntaxError(name)
	}
	return c.run(s, args)
}

// runSQL runs a statement of the client: one SELECT, UPDATE or DELETE. The
// real daemon's answer to others was not recorded.
func (s *store) runSQL(query string) (answer, error) {
	verb, _, _ := strings.Cut(strings.TrimSpace(query), " ")
	switch strings.ToLower(verb) {
	case "select", "update", "delete":
	default:
		return nil, syntaxError(query)
	}
	if strings.Contains(query, ";") {
		return nil, syntaxError(query)
	}
	rows, err := s.queryRows(query)
	if err != nil {
		return nil, err
	}
	b := appendRows("ok ", rows)
	return answer{b[:min(len(b), maxAnswer)]}, nil // a longer answer is truncated
}

// parseNumber reads decimal digits as C does: up to the first other character,
// and 0 without any.
func parseNumber(text string) int64 {
	end := 0
	for end < len(text) && (text[end] >= '0' && text[end] <= '9' || end == 0 && text[end] == '-') {
		end++
	}
	n, _ := strconv.ParseInt(text[:end], 10, 64)
	return n
}

// decodeArgs decodes a command's JSON. A field that is required is a pointer,
// which the command checks.
func decodeArgs(args string, into any) error {
	if !json.Valid([]byte(args)) {
		return jsonSyntaxError(args)
	}
	if err := json.Unmarshal([]byte(args), into); err != nil {
		return jsonDataError(args)
	}
	return nil
}
