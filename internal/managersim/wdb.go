package managersim

import (
	"bytes"
	_ "embed"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

//go:embed wdbstats.json
var dbStats string

// wazuhDB is wazuh-db: its socket, in front of the store.
type wazuhDB struct {
	daemon
	*Manager
	agents *store // the databases of single agents, which are empty here
	since  int64
	lost   atomic.Bool // killed: what remoted writes meanwhile is lost
}

// startDaemon starts wazuh-db, also after a stop.
func (w *wazuhDB) startDaemon() error {
	l, err := listenStream(filepath.Join(w.cfg.Home, "queue/db/wdb"), w.cfg.Backlog)
	if err != nil {
		return err
	}
	w.daemon.markRunning()
	w.lost.Store(false)
	w.since = w.store.now()
	w.acceptConns(l, func(conn net.Conn) { w.goRun(func() { w.serveClient(conn) }) })
	if w.cfg.isWazuh5() && !w.cfg.Wazuh5.NoHTTP {
		return w.startHTTP()
	}
	return nil
}

// serveClient answers one client, request after request.
func (w *wazuhDB) serveClient(conn net.Conn) {
	defer w.closeAndForget(conn)
	w.counters.dbClients.Add(1)
	defer w.counters.dbClients.Add(-1)
	for {
		request, err := readFrame(conn)
		if err != nil {
			return
		}
		w.counters.bytesIn[DatabaseSocket].Add(uint64(len(request) + 4))
		w.stall.waitWhileStalled(w.quit)
		answers := w.countTime(func() answer { return w.answerRequest(string(request)) })
		w.changes.notifyAll()
		if !w.writeAnswers(DatabaseSocket, &w.daemon, conn, answers...) {
			return
		}
	}
}

// countTime makes an answer and counts the time that it takes.
func (w *wazuhDB) countTime(make func() answer) answer {
	if !w.cfg.ProcessorTime {
		began := time.Now()
		defer func() { w.counters.answering.Add(int64(time.Since(began))) }()
		return make()
	}
	runtime.LockOSThread() // the time is counted by thread
	defer runtime.UnlockOSThread()
	began := threadTime()
	defer func() { w.counters.answering.Add(int64(threadTime() - began)) }()
	return make()
}

// threadTime returns the processor time that this thread has used.
func threadTime() time.Duration {
	const thread = 1 // RUSAGE_THREAD
	var use syscall.Rusage
	_ = syscall.Getrusage(thread, &use) // which fails for another argument only
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// answerRequest answers a request: `global …`, `agent ID sql …` or JSON.
func (w *wazuhDB) answerRequest(request string) answer {
	w.counters.queries.Add(1)
	if strings.HasPrefix(request, "{") {
		return answer{[]byte(w.answerJSON(request))}
	}
	actor, rest, has := strings.Cut(request, " ")
	var a answer
	var err error
	switch {
	case !has:
		err = syntaxError(actor)
	case actor == "global":
		w.countRequest(rest)
		a, err = w.store.runCommand(rest)
	case actor == "agent" && !w.cfg.isWazuh5():
		_, query, _ := strings.Cut(rest, " ")
		a, err = w.agents.runSQL(strings.TrimPrefix(query, "sql "))
	case actor == "wazuhdb" && !w.cfg.isWazuh5():
		err = syntaxError(rest)
	default:
		err = dbError(fmt.Sprintf("Invalid DB query actor: '%s'", actor))
	}
	if err != nil {
		a = answer{[]byte(errorText(err))}
	}
	return a
}

// countRequest counts a command of the global database, and records it if it
// is a change.
func (w *wazuhDB) countRequest(rest string) {
	name, args, _ := strings.Cut(rest, " ")
	if _, known := w.store.dialect.commands()[name]; known {
		w.counters.countCommand(name)
	}
	verb, _, _ := strings.Cut(args, " ")
	if strings.HasPrefix(name, "update-") || name == "sql" && !strings.EqualFold(verb, "select") {
		w.clientLog.addWrite(rest)
	}
}

// answerJSON answers {"command":"getstats"}, the one JSON command that was
// recorded.
func (w *wazuhDB) answerJSON(request string) string {
	if !bytes.Contains([]byte(request), []byte(`"getstats"`)) {
		return `{"error":4,"message":"Unrecognized command","data":{}}`
	}
	stats := dbStats
	if w.cfg.isWazuh5() {
		stats = dbStatsOf5
	}
	return os.Expand(stats, func(name string) string {
		switch name {
		case "uptime":
			return strconv.FormatInt(w.since, 10)
		case "timestamp":
			return strconv.FormatInt(w.store.now(), 10)
		case "received":
			return strconv.FormatUint(w.counters.queries.Load(), 10)
		}
		return strconv.FormatUint(w.counters.commandCount(name), 10)
	})
}
