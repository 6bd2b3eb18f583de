package doctor

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/wazuh-pulse/pulse/internal/daemon"
	"github.com/wazuh-pulse/pulse/internal/presence"
	"github.com/wazuh-pulse/pulse/internal/remote"
	"github.com/wazuh-pulse/pulse/internal/tcpclose"
)

// loginTimeout is for one login to a NATS server.
const loginTimeout = 15 * time.Second

// checkNATS logs in to the XDR's NATS server.
func (e *examination) checkNATS(ctx context.Context) {
	switch {
	case !e.NATS.Enabled:
		e.add("NATS", Note, "off: nothing is published", "")
		return
	case e.NATS.ServerURL == "":
		e.checkEmbeddedServer()
		return
	}
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	began := time.Now()
	session, err := remote.Dial(ctx, daemon.RemoteConfig(&e.Config, nil))
	if err != nil {
		e.addError("NATS", Failure, err) // one for each server
		return
	}
	defer session.Conn.Close()
	e.add("NATS", Good, fmt.Sprintf("logged in at %s, in %v", session.Conn.ConnectedUrlRedacted(), time.Since(began).Round(time.Millisecond)), "")
	e.checkOtherNodes(ctx, session)
	e.checkStatusStorage(ctx, session)
}

// serverHint is what to do about a node whose messages nobody gets.
const serverHint = "set <server_url> to the XDR platform's NATS server, as a file of pulse provision does"

// checkEmbeddedServer reports whether anybody gets what is published on the embedded server.
func (e *examination) checkEmbeddedServer() {
	own := "Pulse's own server, at " + e.NATS.Listen
	host, port, _ := net.SplitHostPort(e.NATS.Listen)
	if number, err := strconv.ParseUint(port, 10, 16); err == nil && e.running {
		if n, err := tcpclose.CountConnections(uint16(number)); err == nil {
			if n == 0 {
				e.add("NATS", Warning, own+": no client is connected, so that messages reach nobody", serverHint+", or connect a client")
				return
			}
			e.add("NATS", Good, fmt.Sprintf("%s: %d connected", own, n), "")
			return
		}
	}
	if a, err := netip.ParseAddr(host); host == "localhost" || err == nil && a.Unmap().IsLoopback() {
		e.add("NATS", Warning, own+": clients on other hosts do not reach it, and messages go nowhere else", serverHint+"; where clients are on this host, this is as it should be")
		return
	}
	e.add("NATS", Good, own, "")
}

// checkOtherNodes reports whether another node has this node's name.
func (e *examination) checkOtherNodes(ctx context.Context, session *remote.Session) {
	name := e.Pulse.NodeName
	found, err := presence.FindNodes(ctx, session, name)
	if err != nil {
		e.add("name", Warning, fmt.Sprintf("whether another node is called %s is not known: %v", name, err),
			"let this user publish and subscribe to "+presence.Subject(name)+"; with the files of pulse provision nats, --renew "+name+" does so")
		return
	}
	own := func(s presence.Statement) bool { return e.running && daemon.IsOwn(&e.Config, s) }
	found = slices.DeleteFunc(found, own)
	if len(found) == 0 {
		e.add("name", Good, "no other node is called "+name, "")
		return
	}
	for _, s := range found {
		e.add("name", Failure, fmt.Sprintf("a node called %s exists already, on host %q, started %s: of two one publishes nothing", name, s.Host,
			time.Unix(s.StartedAt, 0).UTC().Format(time.RFC3339)), "give each node a <node_name> of its own")
	}
}

// checkStatusStorage reports whether a stream confirms status changes.
func (e *examination) checkStatusStorage(ctx context.Context, session *remote.Session) {
	found, err := daemon.FindStatusStorage(ctx, &e.Config, session)
	switch {
	case found.Listed:
		e.add("status changes", Good, "a stream of the NATS server stores "+found.Subject, "")
	case err != nil && found.Stored:
		e.add("status changes", Good, "a stream of the NATS server has acknowledged "+found.Subject, "")
	case err != nil:
		e.add("status changes", Note, "whether a stream of the NATS server stores them is not known: it does not list its streams", "")
	case found.Stored:
		e.add("status changes", Warning, "the NATS server stored "+found.Subject+" before, and lists no stream now that does: they wait on disk",
			"make the stream again; or, if none is wanted, stop Pulse and delete outbox/stored in <state_dir>")
	default:
		e.add("status changes", Warning, "nothing confirms status changes: the NATS server lists no stream that takes "+found.Subject,
			"make a stream for them there, as pulse provision does")
	}
}
