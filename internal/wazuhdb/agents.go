package wazuhdb

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/wazuhsock"
)

const (
	// pageRows is how many agents are read at a time: some 170 bytes each, far below a
	// frame. Where names are long, that is too much, and half as many are asked for.
	pageRows = 250
	// maxUnreadable is how many rows of one reading may be unreadable before it is an
	// error of the database, and not theirs.
	maxUnreadable = 100
)

// Skipped is a row that cannot be used.
type Skipped struct {
	ID  int64
	Err error
}

// CountAgents returns how many agents this node watches.
func (c *Client) CountAgents(ctx context.Context) (int, error) {
	s, err := c.ReadSchema(ctx)
	if err != nil {
		return 0, err
	}
	row, err := selectRow[struct {
		N int `json:"n"`
	}](ctx, c, "SELECT count(*) AS n FROM agent WHERE "+s.ownAgentsSQL(c.role))
	return row.N, err
}

// ReadAgents returns the rows of all agents that this node watches, in the order of
// their ids, and those that cannot be used; the latter with an error too.
func (c *Client) ReadAgents(ctx context.Context) ([]Row, []Skipped, error) {
	s, err := c.ReadSchema(ctx)
	if err != nil {
		return nil, nil, err
	}
	return c.readAgentRows(ctx, s.ownAgentsSQL(c.role))
}

// ReadNodeAgents does the same, on a master, for those of another node.
func (c *Client) ReadNodeAgents(ctx context.Context, node string) ([]Row, []Skipped, error) {
	return c.readAgentRows(ctx, "id > 0 AND coalesce(node_name, '') = "+quoteSQLText(node))
}

// ReadAgentsByID does the same for those of some ids, a few hundred at most. Where agents are
// watched by sight, they may be other nodes' by their rows.
func (c *Client) ReadAgentsByID(ctx context.Context, ids []detector.AgentID) ([]Row, []Skipped, error) {
	list := make([]string, len(ids))
	for i, id := range ids {
		list[i] = fmt.Sprint(uint32(id))
	}
	s, err := c.ReadSchema(ctx)
	if err != nil {
		return nil, nil, err
	}
	where := s.inventoryAgentsSQL(c.role)
	if c.role.Worker { // whose rows are of agents that have been there
		where = "id > 0"
	}
	return c.readAgentRows(ctx, fmt.Sprintf("id IN (%s) AND %s", strings.Join(list, ","), where))
}

// ErrRowUnusable is the error for a row that makes no sense.
var ErrRowUnusable = errors.New("the row makes no sense")

// ReadAgent returns an agent's row; nil if there is none. Where the nodes share no view, it is
// also nil if another node has the agent.
func (c *Client) ReadAgent(ctx context.Context, id detector.AgentID) (*Row, error) {
	s, err := c.ReadSchema(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := selectRows[Row](ctx, c, fmt.Sprintf("SELECT %s FROM agent WHERE id = %d AND %s", s.rowColumnsSQL(), id, s.inventoryAgentsSQL(c.role)))
	if err != nil || len(rows) != 1 {
		return nil, err
	}
	if err := rows[0].checkRowValues(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRowUnusable, err)
	}
	return &rows[0], nil
}

// IsRowError reports whether an answer may have been unreadable because of a row in it:
// it did not fit, or wazuh-db could not make it.
func IsRowError(err error) bool {
	_, refused := errors.AsType[RefusedError](err)
	_, cut := errors.AsType[noRowsError](err)
	_, long := errors.AsType[wazuhsock.FrameTooLongError](err)
	return refused || cut || long
}

// halvePageLimit halves how many rows are asked for, if so many may have been too many for
// one answer, and reports whether it did.
func halvePageLimit(limit *int, err error) bool {
	if !IsRowError(err) || *limit <= 1 {
		return false
	}
	*limit /= 2
	return true
}

// growPageLimit returns a limit somewhat larger than one that was not too large.
func growPageLimit(limit, most int) int { return min(limit+limit/4+1, most) }

var errOutOfOrder = errors.New("wazuh-db answers rows out of order")

// readAgentRows reads the rows that fulfil a condition, page by page. A page that does not
// fit into an answer is read in smaller ones, and a row that does not fit alone, or
// makes no sense, is skipped.
func (c *Client) readAgentRows(ctx context.Context, where string) (all []Row, skipped []Skipped, err error) {
	s, err := c.ReadSchema(ctx)
	if err != nil {
		return nil, nil, err
	}
	limit, unreadable := pageRows, 0
	for last := int64(0); ; {
		page, err := selectRows[pageRow](ctx, c, pageSelectSQL(s.pageColumnsSQL(), where, last, limit))
		switch {
		case err != nil && halvePageLimit(&limit, err):
			continue
		case err != nil && IsRowError(err) && unreadable < maxUnreadable:
			next, found := c.findNextID(ctx, where, last)
			if !found {
				return nil, skipped, err
			}
			unreadable++
			skipped = append(skipped, Skipped{next, fmt.Errorf("the row of agent %s cannot be read: %w", detector.AgentID(next), err)})
			last = next
			continue
		case err != nil:
			return nil, skipped, err
		}
		for i := range page {
			r := &page[i]
			if r.ID <= last {
				return nil, skipped, errOutOfOrder
			}
			last = r.ID
			if err := r.checkRowValues(); err != nil {
				skipped = append(skipped, Skipped{last, err})
			} else {
				all = append(all, r.row())
			}
			if last > int64(detector.MaxAgentID) {
				return all, skipped, nil // and so are the ids of all that follow
			}
		}
		if len(page) < limit {
			return all, skipped, nil
		}
		limit = growPageLimit(limit, pageRows)
	}
}

// pageSelectSQL is the statement for no more rows than limit, after the id last.
func pageSelectSQL(columns, where string, last int64, limit int) string {
	return fmt.Sprintf("SELECT %s FROM agent WHERE id > %d AND %s ORDER BY id LIMIT %d", columns, last, where, limit)
}

// findNextID returns the id of the first row after one, if that can be read.
func (c *Client) findNextID(ctx context.Context, where string, last int64) (id int64, found bool) {
	rows, err := selectRows[Row](ctx, c, pageSelectSQL(boundedNumberSQL("id")+" AS i", where, last, 1))
	if err != nil || len(rows) != 1 || rows[0].ID <= last || rows[0].ID > int64(detector.MaxAgentID) {
		return 0, false
	}
	return rows[0].ID, true
}
