package wazuhdb

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unique"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// pageIDs is how many agents' ids one statement may return: nine bytes each at most.
const pageIDs = 5000

// pageOthers is how many agents of other nodes are read at a time.
const pageOthers = 500

// Change is what the database has for some agents that have sent something, or were
// marked.
type Change struct {
	Agents    []detector.AgentID
	KeepAlive int64 // Unix seconds; of the disconnected, 0
	Status    string
	Code      int
	Passive   bool   // as Row.Passive has it
	Node      string // of a master, as Row.Node has it
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
	Node      string `json:"h"`
}

// Scope is of which agents a master's changes are read besides its own, where agents are watched
// by sight. Those that have just started somewhere are read in any case.
type Scope struct {
	Nodes []string // of these nodes
	All   bool     // of all
}

// ReadChanges returns what the database has for the agents with a keep-alive or a
// disconnection since a second: for those that this node watches, and in a cluster for those
// that may have come to it. With an error, it returns what it has read before.
func (c *Client) ReadChanges(ctx context.Context, since int64, scope Scope) (all []Change, err error) {
	s, err := c.ReadSchema(ctx)
	if err != nil {
		return nil, err
	}
	limit := pageIDs
	for last := int64(0); ; {
		groups, err := selectRows[group](ctx, c, changesSelectSQL(since, last, limit, c.role, s, scope))
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
			all = append(all, Change{Agents: ids, KeepAlive: g.KeepAlive, Status: g.Status, Code: g.Code, Passive: g.Passive != 0, Node: g.Node})
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
func changesSelectSQL(since, last int64, limit int, role ClusterRole, s Schema, scope Scope) string {
	more, groups := "", "k, s, c"
	if s.Wazuh5 {
		more, groups = ", "+passiveColumnSQL+" AS p", "k, s, c, p"
	} else if role.IsMaster() {
		more, groups = ", "+boundedTextSQL(nodeColumn, maxNodeName)+" AS h", "k, s, c, h"
	}
	return fmt.Sprintf("SELECT %s, group_concat(id) AS i, count(*) AS n, max(id) AS m FROM (SELECT id, "+
		"CASE connection_status WHEN 'disconnected' THEN 0 ELSE %s END AS k, %s AS s, %s AS c%s "+
		"FROM agent WHERE id > %d AND id <= %d AND %s AND (last_keepalive >= %d OR disconnection_time >= %d) ORDER BY id LIMIT %d) GROUP BY %s",
		groups, boundedNumberSQL("last_keepalive"), boundedTextSQL("connection_status", maxStatus), s.disconnectionCodeSQL(), more,
		last, detector.MaxAgentID, s.changedAgentsSQL(role, scope), since, since, limit, groups)
}

// Other is an agent that by its row is another node's.
type Other struct {
	ID         int64  `json:"i"`
	Name       string `json:"n"`
	Registered string `json:"r"`
	KeepAlive  int64  `json:"k"`

	Info unique.Handle[detector.Info] `json:"-"` // what is known of it besides
}

// otherRow is an Other with the columns that its Info is of.
type otherRow struct {
	Other
	infoRow
}

// ReadOtherNodes returns the agents that by their rows are other nodes', but for rows that make
// no sense.
func (c *Client) ReadOtherNodes(ctx context.Context) (list []Other, err error) {
	s, err := c.ReadSchema(ctx)
	if err != nil || !c.role.IsClustered() || s.Wazuh5 {
		return nil, err
	}
	columns := boundedNumberSQL("id") + " AS i, " + boundedTextSQL("name", MaxName) + " AS n, " + boundedTextSQL("register_ip", MaxAddr) + " AS r, " +
		boundedNumberSQL("last_keepalive") + " AS k" + s.infoColumnsSQL()
	limit := pageOthers
	for last := int64(0); ; {
		page, err := selectRows[otherRow](ctx, c, pageSelectSQL(columns, s.otherAgentsSQL(c.role), last, limit))
		switch {
		case err != nil && halvePageLimit(&limit, err):
			continue
		case err != nil:
			return nil, err
		}
		for i := range page {
			r := Row{ID: page[i].ID, Name: page[i].Name, Registered: page[i].Registered}
			if r.ID <= last {
				return nil, errOutOfOrder
			}
			if last = r.ID; r.checkRowValues() == nil {
				page[i].Info = page[i].info()
				list = append(list, page[i].Other)
			}
		}
		if len(page) < limit || last > int64(detector.MaxAgentID) {
			return list, nil
		}
		limit = growPageLimit(limit, pageOthers)
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
	Names int64 `json:"h"` // a sum over their names: how long they are, how they begin and, of some, end
}

// ReadFingerprint returns that of the agents whose coming and going this node follows. Names
// count to their ends where the time of enrolment is since a second, or unknown: an id that
// was given to another name after that second has another time, or one since then.
func (c *Client) ReadFingerprint(ctx context.Context, since int64) (Fingerprint, error) {
	s, err := c.ReadSchema(ctx)
	if err != nil {
		return Fingerprint{}, err
	}
	return selectRow[Fingerprint](ctx, c, "SELECT "+fingerprintColumnsSQL(since)+" FROM agent WHERE "+s.inventoryAgentsSQL(c.role))
}

// fingerprintColumnsSQL are the columns of a Fingerprint. The sums stay exact in any JSON, with
// a hundred million agents too. A character at the end of a name takes SQLite six times as long
// as the first: those of all names would be two thirds of what the statement costs.
func fingerprintColumnsSQL(since int64) string {
	ends := "0"
	for i, at := range []string{"-1", "-2", "-3"} { // names in a row differ at their ends
		ends += fmt.Sprintf(" + coalesce(unicode(substr(CAST(name AS BLOB), %s, 1)), 0) %% 256 * %d", at, 257*(i+2))
	}
	names := "length(name) % 65536 + coalesce(unicode(name), 0) % 256 * 257 + " +
		fmt.Sprintf("CASE WHEN date_add = 0 OR date_add >= %d THEN %s ELSE 0 END", since, ends)
	const weight = "(id % 7 + 1)" // so that two that swap their names are noticed
	return "count(*) AS n, coalesce(max(id), 0) AS m, coalesce(sum(CAST(date_add AS INTEGER) % 1000003 * " + weight + "), 0) AS d, " +
		"coalesce(sum((" + names + ") * " + weight + "), 0) AS h"
}

// NodeActivity is what the master's rows show of a node.
type NodeActivity struct {
	Agents    int   `json:"n"` // that are active
	KeepAlive int64 `json:"k"` // Unix seconds: when the node sent the latest keep-alive
}

// ReadNodeActivity returns what the rows of a master show of another node: nothing in Wazuh 5.
func (c *Client) ReadNodeActivity(ctx context.Context, node string) (NodeActivity, error) {
	s, err := c.ReadSchema(ctx)
	if err != nil || s.Wazuh5 {
		return NodeActivity{}, err
	}
	return selectRow[NodeActivity](ctx, c, "SELECT count(*) AS n, coalesce(max("+boundedNumberSQL("last_keepalive")+"), 0) AS k FROM agent WHERE id > 0 AND "+
		"connection_status IN ('active', 'pending') AND coalesce(node_name, '') = "+quoteSQLText(node))
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
