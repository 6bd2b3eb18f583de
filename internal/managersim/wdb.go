package managersim

import (
	"bytes"
	_ "embed"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

//go:embed wdbstats.json
var dbStats string

// wazuhDB is wazuh-db: its socket, before the store.
type wazuhDB struct {
	daemon
	*Manager
	agents *store // the databases of single agents, which hold nothing here
	since  int64
}

// run starts it, again after a stop.
func (w *wazuhDB) run() error {
	l, err := listenStream(filepath.Join(w.cfg.Home, "queue/db/wdb"), w.cfg.Backlog)
	if err != nil {
		return err
	}
	w.daemon.start()
	w.since = w.store.now()
	w.accept(l, func(conn net.Conn) { w.spin(func() { w.serve(conn) }) })
	return nil
}

// serve answers one client, request after request.
func (w *wazuhDB) serve(conn net.Conn) {
	defer w.release(conn)
	w.count.dbClients.Add(1)
	defer w.count.dbClients.Add(-1)
	for {
		request, err := readFrame(conn)
		if err != nil {
			return
		}
		w.count.bytesIn[DatabaseSocket].Add(uint64(len(request) + 4))
		w.stall.wait(w.quit)
		answers := w.answer(string(request))
		w.bell.ring()
		if !w.write(DatabaseSocket, &w.daemon, conn, answers...) {
			return
		}
	}
}

// answer answers a request: `global …`, `agent ID sql …` or JSON.
func (w *wazuhDB) answer(request string) answer {
	w.count.queries.Add(1)
	if strings.HasPrefix(request, "{") {
		return answer{[]byte(w.command(request))}
	}
	actor, rest, has := strings.Cut(request, " ")
	var a answer
	var err error
	switch {
	case !has:
		err = badSyntax(actor)
	case actor == "global":
		w.note(rest)
		a, err = w.store.global(rest)
	case actor == "agent":
		_, query, _ := strings.Cut(rest, " ")
		a, err = w.agents.sql(strings.TrimPrefix(query, "sql "))
	case actor == "wazuhdb":
		err = badSyntax(rest)
	default:
		err = refusal(fmt.Sprintf("Invalid DB query actor: '%s'", actor))
	}
	if err != nil {
		a = answer{[]byte(errorText(err))}
	}
	return a
}

// note counts a command of the global database, and remembers what was written.
func (w *wazuhDB) note(rest string) {
	name, args, _ := strings.Cut(rest, " ")
	if _, known := commands[name]; known {
		w.count.command(name)
	}
	verb, _, _ := strings.Cut(args, " ")
	if strings.HasPrefix(name, "update-") || name == "sql" && !strings.EqualFold(verb, "select") {
		w.book.write(rest)
	}
}

// command answers {"command":"getstats"}, the one JSON command that was recorded.
func (w *wazuhDB) command(request string) string {
	if !bytes.Contains([]byte(request), []byte(`"getstats"`)) {
		return `{"error":4,"message":"Unrecognized command","data":{}}`
	}
	return os.Expand(dbStats, func(name string) string {
		switch name {
		case "uptime":
			return strconv.FormatInt(w.since, 10)
		case "timestamp":
			return strconv.FormatInt(w.store.now(), 10)
		case "received":
			return strconv.FormatUint(w.count.queries.Load(), 10)
		}
		return strconv.FormatUint(w.count.commanded(name), 10)
	})
}
