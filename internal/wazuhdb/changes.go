package wazuhdb

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// pageIDs is how many agents' ids one statement may return: nine bytes each at most.
const pageIDs = 5000

// Change is what the database has for some agents that have sent something, or were
// marked.
type Change struct {
	Agents    []detector.AgentID
	KeepAlive int64 // Unix seconds; of the disconnected, 0
	Status    string
	Code      int
	Passive   bool // as Row.Passive has it
}

// group are agents of whom the database has the same: some five bytes for each, where a
// row of its own would take fifty.
type group struct {
	IDs       string `json:"i"` // separated by commas
	Count     int    `json:"n"`
	Last      int64  `json:"m"` // the largest id
	KeepAlive int64  `json:"k"`
	Status    string `json:"s"`
	Code      int    `json:"c"`
	Passive   int    `json:"p"`
}

// ReadChanges returns what the database has for the agents with a keep-alive or a
// disconnection since a second. With an error, it returns what it has read before.
func (c *Client) ReadChanges(ctx context.Context, since int64) (all []Change, err error) {
	s, err := c.ReadSchema(ctx)
	if err != nil {
		return nil, err
	}
	limit := pageIDs
	for last := int64(0); ; {
		groups, err := selectRows[group](ctx, c, changesSelectSQL(since, last, limit, c.role, s))
		if err != nil && halvePageLimit(&limit, err) { // after a long time, there are as many times as agents
			continue
		}
		if err != nil {
			return all, err
		}
		count := 0
		for i := range groups {
			g := &groups[i]
			last = max(last, g.Last)
			count += g.Count
			ids, err := parseIDs(g.IDs)
			if err != nil {
				return all, err
			}
			all = append(all, Change{Agents: ids, KeepAlive: g.KeepAlive, Status: g.Status, Code: g.Code, Passive: g.Passive != 0})
		}
		if count < limit {
			return all, nil
		}
		if count > limit {
			return all, errors.New("wazuh-db answers more rows than were asked for")
		}
		limit = growPageLimit(limit, pageIDs)
	}
}

// changesSelectSQL is the statement for one page of them, grouped.
func changesSelectSQL(since, last int64, limit int, role ClusterRole, s Schema) string {
	passive, groups := "", "k, s, c"
	if s.Wazuh5 {
		passive, groups = ", "+passiveColumnSQL+" AS p", "k, s, c, p"
	}
	return fmt.Sprintf("SELECT %s, group_concat(id) AS i, count(*) AS n, max(id) AS m FROM (SELECT id, "+
		"CASE connection_status WHEN 'disconnected' THEN 0 ELSE %s END AS k, %s AS s, %s AS c%s "+
		"FROM agent WHERE id > %d AND id <= %d AND %s AND (last_keepalive >= %d OR disconnection_time >= %d) ORDER BY id LIMIT %d) GROUP BY %s",
		groups, boundedNumberSQL("last_keepalive"), boundedTextSQL("connection_status", maxStatus), s.disconnectionCodeSQL(), passive,
		last, detector.MaxAgentID, s.ownAgentsSQL(role), since, since, limit, groups)
}

// ReadOtherNodes returns the agents that other nodes of the cluster watch.
func (c *Client) ReadOtherNodes(ctx context.Context) (ids []detector.AgentID, err error) {
	s, err := c.ReadSchema(ctx)
	if err != nil || !c.role.IsClustered() || s.Wazuh5 {
		return nil, err
	}
	for last := int64(0); ; {
		g, err := selectRow[group](ctx, c, fmt.Sprintf("SELECT group_concat(id) AS i, count(*) AS n, max(id) AS m FROM "+
			"(SELECT id FROM agent WHERE id > %d AND id <= %d AND %s ORDER BY id LIMIT %d)", last, detector.MaxAgentID, s.otherAgentsSQL(c.role), pageIDs))
		if err != nil {
			return nil, err
		}
		if g.Count == 0 {
			return ids, nil
		}
		some, err := parseIDs(g.IDs)
		if err != nil {
			return nil, err
		}
		if g.Last <= last {
			return nil, errOutOfOrder
		}
		ids, last = append(ids, some...), g.Last
		if g.Count < pageIDs {
			return ids, nil
		}
	}
}

// parseIDs parses ids that SQL has joined with commas.
func parseIDs(list string) (ids []detector.AgentID, err error) {
	for text := range strings.SplitSeq(list, ",") {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil || n == 0 || n > uint64(detector.MaxAgentID) {
			return nil, fmt.Errorf("wazuh-db answers %.20q for an agent's id", text)
		}
		ids = append(ids, detector.AgentID(n))
	}
	return ids, nil
}

// Fingerprint differs between two states of the inventory. It is cheap to read. An id
// that is given to another name at once changes neither the count nor the last id, but
// the sums.
type Fingerprint struct {
	Count int64 `json:"n"`
	Last  int64 `json:"m"`
	Added int64 `json:"d"` // a sum of the times at which they were enrolled
	Names int64 `json:"h"` // a sum over their names: how long they are, how they begin and end
}

// ReadFingerprint returns that of the agents that this node watches.
func (c *Client) ReadFingerprint(ctx context.Context) (Fingerprint, error) {
	s, err := c.ReadSchema(ctx)
	if err != nil {
		return Fingerprint{}, err
	}
	return selectRow[Fingerprint](ctx, c, "SELECT "+fingerprintColumnsSQL()+" FROM agent WHERE "+s.ownAgentsSQL(c.role))
}

// fingerprintColumnsSQL are the columns of a Fingerprint. The sums stay exact in any JSON, with
// a hundred million agents too.
func fingerprintColumnsSQL() string {
	name := fmt.Sprintf("substr(CAST(name AS BLOB), 1, %d)", MaxName+1)
	names := "length(" + name + ")"
	for i, at := range []string{"1", "-1", "-2", "-3"} { // names in a row differ at their ends
		names += fmt.Sprintf(" + coalesce(unicode(substr(%s, %s, 1)), 0) %% 256 * %d", name, at, 257*(i+1))
	}
	const weight = "(id % 7 + 1)" // so that two that swap their names are noticed
	return "count(*) AS n, coalesce(max(id), 0) AS m, coalesce(sum(" + boundedNumberSQL("date_add") + " % 1000003 * " + weight + "), 0) AS d, " +
		"coalesce(sum((" + names + ") * " + weight + "), 0) AS h"
}

// SetDisconnected writes that an agent is disconnected, as monitord does after too long
// a silence.
func (c *Client) SetDisconnected(ctx context.Context, id detector.AgentID) error {
	s, err := c.ReadSchema(ctx)
	if err != nil {
		return err
	}
	_, err = c.Query(ctx, fmt.Sprintf(`global update-connection-status {"id":%d,"connection_status":"disconnected","sync_status":%q,"status_code":%d}`,
		id, s.syncStatusAfterWrite(c.role), CodeNoKeepAlive))
	return err
}
