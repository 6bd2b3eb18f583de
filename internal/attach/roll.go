package attach

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/printable"
)

const (
	// rollPage is how many agents are read at a time: some 90 bytes each, far
	// below a frame. Where names are long, that is too much, and half as many are asked for.
	rollPage = 400
	// idsPage is how many agents' ids one statement may bring: nine bytes each at most.
	idsPage = 5000
)

// row is an agent in the database.
type row struct {
	ID         int64  `json:"i"`
	Name       string `json:"n"`
	Addr       string `json:"a"` // that it gave itself in its last keep-alive
	Registered string `json:"r"`
	Status     string `json:"s"`
	Code       int    `json:"c"`
	KeepAlive  int64  `json:"k"` // Unix seconds; 0 if there was none
}

// The values of connection_status that matter here.
const (
	isActive       = "active"
	isPending      = "pending"
	isDisconnected = "disconnected"
)

// The values of status_code that matter here. It is zero where none is told.
const (
	codeNone        = 0
	codeShutdown    = 3
	codeNoKeepAlive = 4
	codeReset       = 5
)

// check refuses a row that no manager has made.
func (r *row) check() error {
	switch {
	case r.ID < 1 || r.ID > int64(detector.MaxAgentID):
		return fmt.Errorf("the id %d is out of range", r.ID)
	case r.Name == "" || len(r.Name) > maxName || !printable.Is(r.Name):
		return fmt.Errorf("agent %s has the name %.40q", detector.AgentID(r.ID), r.Name)
	case len(r.Registered) > maxAddr || !printable.Is(r.Registered):
		return fmt.Errorf("agent %s is registered at %.40q", detector.AgentID(r.ID), r.Registered)
	}
	return nil
}

// checkAddr refuses what cannot be an address. Without it the agent is watched all
// the same: only the end of its connection cannot be told from another's.
func (r *row) checkAddr() error {
	if len(r.Addr) > maxAddr || strings.ContainsRune(r.Addr, '\uFFFD') || !printable.Is(r.Addr) {
		return fmt.Errorf("agent %s says that it is at %.40q", detector.AgentID(r.ID), r.Addr)
	}
	return nil
}

// addr is where the agent is, if that is known.
func (r *row) addr() netip.Addr {
	if len(r.Addr) > maxAddr {
		return netip.Addr{}
	}
	addr, err := netip.ParseAddr(r.Addr)
	if err != nil || addr.IsUnspecified() {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}

// size tells one state of the inventory from another, cheaply. An id that is given to
// another name at once changes neither the count nor the last id, but the sums.
type size struct {
	Count int64 `json:"n"`
	Last  int64 `json:"m"`
	Added int64 `json:"d"` // a sum of the times at which they were enrolled
	Names int64 `json:"h"` // a sum over their names: how long they are, how they begin and end
}

// sizeColumns are the SQL for it. The sums stay exact in any JSON, with a hundred
// million agents too.
func sizeColumns() string {
	name := fmt.Sprintf("substr(CAST(name AS BLOB), 1, %d)", maxName+1)
	names := "length(" + name + ")"
	for i, at := range []string{"1", "-1", "-2", "-3"} { // names in a row differ at their ends
		names += fmt.Sprintf(" + coalesce(unicode(substr(%s, %s, 1)), 0) %% 256 * %d", name, at, 257*(i+1))
	}
	const weight = "(id % 7 + 1)" // so that two that swap their names are noticed
	return "count(*) AS n, coalesce(max(id), 0) AS m, coalesce(sum(" + boundedNumber("date_add") + " % 1000003 * " + weight + "), 0) AS d, " +
		"coalesce(sum((" + names + ") * " + weight + "), 0) AS h"
}

func (w *watch) size(ctx context.Context) (size, error) {
	rows, err := sql[size](ctx, w.db, "SELECT "+sizeColumns()+" FROM agent WHERE "+w.place.ours())
	if err != nil || len(rows) != 1 {
		return size{}, errors.Join(err, oddRows(len(rows), err))
	}
	return rows[0], nil
}

func oddRows(n int, err error) error {
	if err != nil {
		return nil
	}
	return fmt.Errorf("wazuh-db answers %d rows for one", n)
}

// roll reads all agents of this node.
func (w *watch) roll(ctx context.Context) (all []row, err error) {
	w.skips.begin()
	err = w.readRows(ctx, func(columns string, last int64, limit int) string {
		return fmt.Sprintf("SELECT %s FROM agent WHERE id > %d AND %s ORDER BY id LIMIT %d", columns, last, w.place.ours(), limit)
	}, func(r row) {
		if err := r.checkAddr(); err != nil {
			w.skips.addr(r.ID, err)
		}
		all = append(all, r)
	})
	if err != nil {
		return nil, err
	}
	w.skips.end()
	return append(all, w.unreadable()...), nil
}

// unreadable are the agents that are known from before, and whose rows could not be
// used this time: that is no proof that they were removed.
func (w *watch) unreadable() (rows []row) {
	for id := range w.skips.rows {
		if id > int64(detector.MaxAgentID) {
			continue
		}
		if w.known[detector.AgentID(id)] != nil {
			rows = append(rows, w.knownRow(detector.AgentID(id)))
		}
	}
	return rows
}

// elsewhere reads which agents other nodes of the cluster watch.
func (w *watch) elsewhere(ctx context.Context) (ids []detector.AgentID, err error) {
	if !w.place.clustered() {
		return nil, nil
	}
	for last := int64(0); ; {
		groups, err := sql[group](ctx, w.db, fmt.Sprintf("SELECT group_concat(id) AS i, count(*) AS n, max(id) AS m FROM "+
			"(SELECT id FROM agent WHERE id > %d AND id <= %d AND %s ORDER BY id LIMIT %d)", last, detector.MaxAgentID, w.place.others(), idsPage))
		if err != nil || len(groups) != 1 {
			return nil, errors.Join(err, oddRows(len(groups), err))
		}
		g := groups[0]
		if g.Count == 0 {
			return ids, nil
		}
		some, err := parseIDs(g.IDs)
		if err != nil {
			return nil, err
		}
		if g.Last <= last {
			return nil, errors.New("wazuh-db answers rows out of order")
		}
		ids, last = append(ids, some...), g.Last
		if g.Count < idsPage {
			return ids, nil
		}
	}
}

// parseIDs reads a list of ids that SQL has joined with commas.
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
