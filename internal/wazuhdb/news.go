package wazuhdb

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// News is what is read every two seconds: whether the inventory is another one, and whose rows
// have changed.
type News struct {
	Fingerprint Fingerprint
	Changes     []Change
}

// CanReadNews reports whether ReadNews has what this node needs: in a cluster it has not.
func (c *Client) CanReadNews() bool { return !c.role.IsClustered() }

// ReadNews returns what ReadFingerprint does for names since one second, and what ReadChanges does
// since another, with one statement that reads each row once: that takes wazuh-db half as long
// as the two. Its error is one that IsRowError reports if they have to be used instead, as when
// there is too much for one answer.
func (c *Client) ReadNews(ctx context.Context, names, since int64) (n News, err error) {
	s, err := c.ReadSchema(ctx)
	if err != nil {
		return n, err
	}
	row, err := selectRow[struct {
		Fingerprint
		Changed string `json:"g"`
	}](ctx, c, newsSelectSQL(names, since, s, c.role))
	if err != nil {
		return n, err
	}
	n.Fingerprint = row.Fingerprint
	if n.Changes, err = parseNews(row.Changed, since); err != nil {
		return n, noRowsError{err}
	}
	return n, nil
}

// newsStatuses are the statuses as the statement for News writes them. The small letters are of
// agents that can be sent a request.
var newsStatuses = map[byte]string{'a': StatusActive, 'p': StatusPending, 'd': StatusDisconnected, 'n': StatusNeverConnected}

// newsSelectSQL is the statement. It writes an agent as its number, a letter, its last keep-alive
// from the second since on, and, unless it is 0, a colon and the code: 17a2, 18d0:3.
func newsSelectSQL(names, since int64, s Schema, role ClusterRole) string {
	letter := "CASE connection_status WHEN 'active' THEN 'a' WHEN 'pending' THEN 'p' WHEN 'disconnected' THEN 'd' WHEN 'never_connected' THEN 'n' ELSE '?' END"
	if s.Wazuh5 {
		letter = "CASE WHEN " + passiveColumnSQL + " THEN upper(" + letter + ") ELSE " + letter + " END"
	}
	code := ""
	if s.hasCodes() {
		code = " || CASE coalesce(status_code, 0) WHEN 0 THEN '' ELSE ':' || " + s.disconnectionCodeSQL() + " END"
	}
	return fmt.Sprintf("SELECT %s, coalesce(group_concat(CASE WHEN id <= %d AND (last_keepalive >= %d OR disconnection_time >= %d) THEN id || %s || "+
		"CASE connection_status WHEN 'disconnected' THEN 0 ELSE coalesce(%s, 0) - %d END%s END), '') AS g FROM agent WHERE %s",
		fingerprintColumnsSQL(names), detector.MaxAgentID, since, since, letter, boundedNumberSQL("last_keepalive"), since, code, s.ownAgentsSQL(role))
}

// newsKey is what agents of one Change have the same.
type newsKey struct {
	letter byte
	second int64 // from since on
	code   int
}

// parseNews parses the agents of a News, and groups those that have the same.
func parseNews(text string, since int64) (all []Change, err error) {
	groups := make(map[newsKey]int)
	for text != "" {
		var one string
		one, text, _ = strings.Cut(text, ",")
		id, key, err := parseNewsAgent(one)
		if err != nil {
			return nil, fmt.Errorf("%.40q is no agent that has changed: %w", one, err)
		}
		at, ok := groups[key]
		if !ok {
			at = len(all)
			groups[key] = at
			all = append(all, key.change(since))
		}
		all[at].Agents = append(all[at].Agents, id)
	}
	return all, nil
}

func (k *newsKey) change(since int64) Change {
	c := Change{KeepAlive: max(since+k.second, 0), Status: newsStatuses[k.letter|letterCase], Code: k.code, Passive: k.letter&letterCase == 0}
	if c.Status == StatusDisconnected {
		c.KeepAlive = 0
	}
	return c
}

// letterCase is the bit of a letter that a small one has.
const letterCase = 'a' - 'A'

func parseNewsAgent(one string) (id detector.AgentID, k newsKey, err error) {
	end := strings.IndexFunc(one, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		return 0, k, errors.New("there is no status")
	}
	number, err := strconv.ParseUint(one[:end], 10, 32)
	if err != nil || number == 0 || number > uint64(detector.MaxAgentID) {
		return 0, k, errors.New("the number is none of an agent")
	}
	k.letter = one[end]
	if _, known := newsStatuses[k.letter|letterCase]; !known {
		return 0, k, errors.New("the status is unknown")
	}
	second, code, hasCode := strings.Cut(one[end+1:], ":")
	if k.second, err = strconv.ParseInt(second, 10, 64); err == nil && hasCode {
		k.code, err = strconv.Atoi(code)
	}
	return detector.AgentID(number), k, err
}
