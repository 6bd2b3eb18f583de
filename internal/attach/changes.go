package attach

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// group are agents of which the database says the same: some five bytes for
// each, where a row of its own would take fifty.
type group struct {
	IDs       string `json:"i"` // separated by commas
	Count     int    `json:"n"`
	Last      int64  `json:"m"` // the largest id
	KeepAlive int64  `json:"k"`
	Status    string `json:"s"`
	Code      int    `json:"c"`
}

// changes reads which agents have sent something, or were marked, since it last
// did: those with a keep-alive or a disconnection since then. Times are whole
// seconds of the host's clock, so the second before counts too; what is known
// already is passed over.
func (w *watch) changes(ctx context.Context) error {
	l, err := w.db.layout(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	second := w.wall.now().Unix()
	from := second - 1
	if !w.looked.IsZero() { // whichever way the wall clock was set meanwhile
		from = min(w.lookedAt, w.wall.second(w.looked)) - 1
	}
	limit := idsPage
	for last := int64(0); ; {
		groups, err := sql[group](ctx, w.db, changesSince(from, last, limit, w.place, l))
		if err != nil && fewer(&limit, err) { // after a long time, there are as many times as agents
			continue
		}
		if err != nil {
			return err
		}
		count := 0
		for i := range groups {
			g := &groups[i]
			if g.Last > last {
				last = g.Last
			}
			count += g.Count
			if err := w.take(g); err != nil {
				return err
			}
		}
		if count < limit {
			break
		}
		if count > limit {
			return errors.New("wazuh-db answers more rows than were asked for")
		}
		limit = min(limit+limit/4+1, idsPage)
	}
	w.looked, w.lookedAt = now, second
	w.count()
	return nil
}

// changesSince is one page of them, grouped. Of the disconnected, the time of
// the last keep-alive does not matter.
func changesSince(from, last int64, limit int, place Place, l layout) string {
	return fmt.Sprintf("SELECT k, s, c, group_concat(id) AS i, count(*) AS n, max(id) AS m FROM (SELECT id, "+
		"CASE connection_status WHEN 'disconnected' THEN 0 ELSE %s END AS k, %s AS s, %s AS c "+
		"FROM agent WHERE id > %d AND id <= %d AND %s AND (last_keepalive >= %d OR disconnection_time >= %d) ORDER BY id LIMIT %d) GROUP BY k, s, c",
		boundedNumber("last_keepalive"), boundedText("connection_status", maxStatus), l.code(), last, detector.MaxAgentID, place.ours(), from, from, limit)
}

func (w *watch) take(g *group) error {
	ids, err := parseIDs(g.IDs)
	if err != nil {
		return err
	}
	reset := false
	for _, id := range ids {
		a := w.known[id]
		if a == nil {
			continue // the roll will have it
		}
		if a.status == g.Status && a.code == g.Code && (a.keepAlive == g.KeepAlive || g.Status == isDisconnected) {
			continue
		}
		was := *a
		a.status, a.code = g.Status, g.Code
		if g.Status == isDisconnected {
			reset = w.left(id, &was, g.Code) || reset
			continue
		}
		a.keepAlive = g.KeepAlive
		if g.Status == isActive && was.status != isActive {
			w.arrived = append(w.arrived, id) // it is reported when it is known from where
		} else if g.KeepAlive != was.keepAlive {
			w.told(id, g.Status, g.KeepAlive)
		}
	}
	if reset {
		w.reset()
	}
	return nil
}

// left takes it that the manager calls an agent disconnected, and reports
// whether remoted did so to all, because it started.
func (w *watch) left(id detector.AgentID, was *agent, code int) (reset bool) {
	switch {
	case code == codeShutdown:
		w.absences.begin(id, time.Now(), true)
		w.fleet.Report(detector.Sighting{At: w.clock.Now(), ID: id, Kind: detector.SawShutdown})
	case code == codeReset:
		return was.status != isDisconnected
	case (code == codeNoKeepAlive || code == codeNone) && was.status != isDisconnected:
		if now, ok := w.fleet.Agent(id); !ok || now.Status != detector.Disconnected { // else it was ourselves
			w.asker.check(id) // monitord says so, or nobody says who; whether it is true, the agent knows
		}
	}
	return false
}

// count counts the active agents.
func (w *watch) count() {
	n := 0
	for _, a := range w.known {
		if a.status == isActive {
			n++
		}
	}
	w.active(n)
}
