package agentsim

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"time"
)

// An agent of Wazuh 5 has no lasting connection: it reports its start, its life every
// Config.Notify and its end to the manager's port for such agents, each in a connection of
// its own that it closes. It cannot be asked anything. TLS, signatures and events are left
// out: what a manager's database shows needs none of them.

// Config5 configures agents of Wazuh 5; Config.Manager is then that port. Method, Network,
// Reconnect and StartupTimeout have no meaning for them.
type Config5 struct {
	On bool // the agents of the fleet are of 5
	// Send takes the place of the network, for tests with a clock of their own: it returns
	// the status of the manager's answer.
	Send func(agent string, message []byte) (status int, err error)
}

// longestRetryOf5 is the longest wait after a message that failed.
const longestRetryOf5 = time.Minute

// answerTimeout is how long an agent of 5 waits for an answer.
const answerTimeout = time.Minute

// runProcessOf5 runs one process of an agent of 5 until it ends.
func (a *agent) runProcessOf5(deaths uint32) {
	cfg := &a.fleet.cfg
	wait := cfg.Retry / 60
	next := a.fleet.elapsed()
	for a.waitUntil(next, deaths) {
		started := a.process.acknowledged
		if !started {
			a.setStage(starting)
		}
		if !a.sendControl(started) {
			next = a.fleet.elapsed() + rand.N(wait+1) // of any length up to the longest
			wait = min(2*wait, cfg.Retry)
			continue
		}
		wait = cfg.Retry / 60
		next = a.fleet.elapsed() + cfg.Notify
		if !started {
			a.process.acknowledged = true
			a.setStage(connected)
			next = a.fleet.elapsed() + cfg.Notify/10
		}
	}
	if f := a.currentLifecycle(); f.shutdown && a.process.acknowledged && !f.cut {
		_, _ = a.send5([]byte(`{"type":"shutdown"}`)) // once, whatever comes of it
	}
	a.fleet.counters.endings[processEnded].Add(1)
}

// waitUntil waits until an instant, and longer while the process hangs. It reports whether
// the process still exists then.
func (a *agent) waitUntil(instant time.Duration, deaths uint32) bool {
	if wait := instant - a.fleet.elapsed(); wait > 0 {
		a.sleepUnlessEnded(deaths, wait)
	}
	return a.waitWhileHung(deaths)
}

// sendControl sends a startup, or a notify if there has been one, and reports whether the
// manager took it.
func (a *agent) sendControl(started bool) bool {
	counters := &a.fleet.counters
	message := []byte(`{"type":"startup","version":` + strconv.Quote(a.fleet.cfg.Version) + `}`)
	if started {
		message = a.appendNotify(nil)
		counters.keepAlives.Add(1)
	} else {
		counters.startups.Add(1)
	}
	began := a.fleet.elapsed()
	status, err := a.send5(message)
	switch {
	case err != nil || status != http.StatusOK:
		counters.endings[refused].Add(1)
		return false
	case started:
		counters.acks.Add(1)
		counters.ack.addDuration(a.fleet.elapsed() - began)
	default:
		counters.startup.addDuration(a.fleet.elapsed() - began)
	}
	return true
}

// appendNotify appends a keep-alive with the host's data, as recorded.
func (a *agent) appendNotify(b []byte) []byte {
	ip := "127.0.0.1"
	if from, is := a.from.(*net.TCPAddr); is {
		ip = from.IP.String()
	}
	return fmt.Appendf(b, `{"type":"notify","agent":{"version":%q},"host":{"hostname":%q,"architecture":"x86_64","ip":%q,`+
		`"os":{"name":"Debian GNU/Linux","version":"12 (bookworm)","platform":"debian","type":"linux"}}}`, a.fleet.cfg.Version, a.name, ip)
}

// send5 sends a message in a connection of its own and returns the status of the answer.
func (a *agent) send5(message []byte) (status int, err error) {
	if send := a.fleet.cfg.Wazuh5.Send; send != nil {
		if a.currentLifecycle().cut {
			return 0, errCut
		}
		return send(a.id, message)
	}
	conn, err := a.dialManager()
	if err != nil {
		return 0, err
	}
	a.setConn(conn)
	defer func() {
		a.setConn(nil)
		_ = conn.Close() // the answer has been read
	}()
	_ = conn.SetDeadline(time.Now().Add(answerTimeout))
	if _, err := fmt.Fprintf(conn, "POST /control HTTP/1.1\r\nHost: %s\r\nAccept: */*\r\nprotocol-version: 1\r\nAuthorization: Wazuh %s:%d:0\r\n"+
		"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", a.fleet.cfg.Manager, a.id, time.Now().Unix(), len(message), message); err != nil {
		return 0, err
	}
	r, err := http.ReadResponse(bufio.NewReaderSize(conn, 512), nil)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, r.Body)
	return r.StatusCode, err
}
