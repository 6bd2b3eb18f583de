package managersim

import (
	"encoding/json"
	"strconv"
	"strings"
)

// maxAnswer bounds one answer of wazuh-db.
const maxAnswer = 65536

// answer is what a command is answered with: one frame or several.
type answer [][]byte

func ok(rows ...json.RawMessage) answer { return answer{list("ok ", rows)} }

func list(status string, rows []json.RawMessage) []byte {
	b := append([]byte(status), '[')
	for i, r := range rows {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, r...)
	}
	return append(b, ']')
}

// done is the answer to a change.
func done(err error) (answer, error) { return answer{[]byte("ok")}, err }

// page answers with as many rows as an answer holds, and with "due" if that is not all.
func page(rows []json.RawMessage, err error) (answer, error) {
	size := len("due []")
	for i, r := range rows {
		if size += len(r) + 1; size > maxAnswer {
			return answer{list("due ", rows[:i])}, err
		}
	}
	return ok(rows...), err
}

// command is one thing that `global NAME ARGUMENTS` asks for.
type command struct {
	run   func(s *store, args string) (answer, error)
	alone bool // it makes sense without arguments
}

var commands = map[string]command{
	"sql":                             {run: (*store).sql},
	"get-agent-info":                  {run: (*store).agentInfo},
	"get-all-agents":                  {run: (*store).allAgents},
	"get-agents-by-connection-status": {run: (*store).byStatus},
	"find-agent":                      {run: (*store).findAgent},
	"select-agent-name":               {run: (*store).agentName},
	"insert-agent":                    {run: (*store).insertAgent},
	"update-agent-name":               {run: (*store).renameAgent},
	"delete-agent":                    {run: (*store).deleteAgent},
	"update-agent-data":               {run: (*store).updateData},
	"update-keepalive":                {run: (*store).updateKeepAlive},
	"update-connection-status":        {run: (*store).updateConnection},
	"update-status-code":              {run: (*store).updateCode},
	"reset-agents-connection":         {run: (*store).resetConnections},
	"disconnect-agents":               {run: (*store).disconnectSilent},
	"get-labels":                      {run: (*store).labels},
	"select-agent-group":              {run: (*store).agentGroup},
	"select-group-belong":             {run: (*store).groupsOf},
	"select-groups":                   {run: (*store).groups, alone: true},
	"find-group":                      {run: (*store).findGroup},
	"get-group-agents":                {run: (*store).groupAgents},
	"get-distinct-groups":             {run: (*store).distinctGroups, alone: true},
	"set-agent-groups":                {run: (*store).setGroups},
	"sync-agent-groups-get":           {run: (*store).syncGroups},
	"get-groups-integrity":            {run: (*store).groupsIntegrity},
	"sync-agent-info-get":             {run: (*store).syncInfo, alone: true},
	"sync-agent-info-set":             {run: (*store).takeInfo},
	"get_fragmentation":               {run: (*store).fragmentation, alone: true},
}

// global answers `global REST`.
func (s *store) global(rest string) (answer, error) {
	name, args, has := strings.Cut(rest, " ")
	c, known := commands[name]
	if !known || !has && !c.alone {
		return nil, badSyntax(name)
	}
	return c.run(s, args)
}

// sql runs a statement of the client's own: one SELECT, UPDATE or DELETE. The
// real daemon's words for others were not recorded.
func (s *store) sql(query string) (answer, error) {
	verb, _, _ := strings.Cut(strings.TrimSpace(query), " ")
	switch strings.ToLower(verb) {
	case "select", "update", "delete":
	default:
		return nil, badSyntax(query)
	}
	if strings.Contains(query, ";") {
		return nil, badSyntax(query)
	}
	rows, err := s.rows(query)
	if err != nil {
		return nil, err
	}
	b := list("ok ", rows)
	return answer{b[:min(len(b), maxAnswer)]}, nil // who asks for too much gets half of it
}

// number reads decimal digits as C does: up to the first that is none, and 0 without any.
func number(text string) int64 {
	end := 0
	for end < len(text) && (text[end] >= '0' && text[end] <= '9' || end == 0 && text[end] == '-') {
		end++
	}
	n, _ := strconv.ParseInt(text[:end], 10, 64)
	return n
}

// decode reads a command's JSON. Who needs a field makes it a pointer and checks it.
func decode(args string, into any) error {
	if !json.Valid([]byte(args)) {
		return badJSON(args)
	}
	if err := json.Unmarshal([]byte(args), into); err != nil {
		return badData(args)
	}
	return nil
}
