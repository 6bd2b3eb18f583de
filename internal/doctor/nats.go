package doctor

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wazuh-pulse/pulse/internal/daemon"
	"github.com/wazuh-pulse/pulse/internal/hint"
	"github.com/wazuh-pulse/pulse/internal/kv"
	"github.com/wazuh-pulse/pulse/internal/lastwill"
	"github.com/wazuh-pulse/pulse/internal/natsserver"
	"github.com/wazuh-pulse/pulse/internal/presence"
	"github.com/wazuh-pulse/pulse/internal/printable"
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
		e.checkEmbeddedServer(ctx)
		return
	case e.NATS.ServerConfig != "" && !e.running:
		e.checkClustersServer()
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
	e.expiries = session.Expiries()
	e.add("NATS", Good, fmt.Sprintf("logged in at %s, in %v", session.Conn.ConnectedUrlRedacted(), time.Since(began).Round(time.Millisecond)), "")
	if !e.checkDomain(ctx, session) || !e.checkRights(ctx, session) {
		return
	}
	e.checkOtherNodes(ctx, session)
	e.checkStatusStorage(ctx, session)
	e.checkOCSFStorage(ctx, session)
	e.checkLastWill(ctx, session)
}

// checkDomain reports whether the JetStream of <jetstream_domain> is there. Without it, nothing else on the server can be
// looked at.
func (e *examination) checkDomain(ctx context.Context, session *remote.Session) bool {
	domain := session.JetStreamDomain()
	if domain == "" {
		return true
	}
	found, err := session.FindDomain(ctx)
	switch {
	case err != nil:
		e.addError("domain", Failure, err)
	case found:
		e.add("domain", Good, fmt.Sprintf("the JetStream of the domain %s is there", domain), "")
	default:
		hint := "if that is the hub's domain (jetstream { domain: ... } there), see whether the leaf node is connected to the hub"
		if own := session.ServerDomain(ctx); own != "" {
			hint += "; the domain of the server itself is " + printable.Only(own)
		}
		e.add("domain", Failure, fmt.Sprintf("no JetStream of the domain %s is there: messages wait on disk, and the buckets are not written", domain), hint)
	}
	return found
}

// checkLastWill reports whether the NATS server can announce a loss of this node.
func (e *examination) checkLastWill(ctx context.Context, session *remote.Session) {
	name := e.Pulse.NodeName
	can, err := lastwill.FindSupport(ctx, session.Conn, session.JetStreamDomain(), name, loginTimeout)
	if err != nil {
		e.add("last will", Note, "whether the NATS server can announce a loss of this node is not known: "+err.Error(), "")
		return
	}
	if what, hint := can.Problem(name); what != "" {
		e.add("last will", Warning, "nobody announces a loss of this node unless another node of its cluster does: "+what, hint)
		return
	}
	e.add("last will", Good, "the NATS server announces a loss of this node", "")
}

// readServerName returns the name of the NATS server at an address of this host, "" if there is none.
func readServerName(ctx context.Context, addr string) string {
	host, port, _ := net.SplitHostPort(addr)
	if a, err := netip.ParseAddr(host); host == "" || err == nil && a.IsUnspecified() {
		host = "localhost"
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return ""
	}
	defer conn.Close()
	end, _ := ctx.Deadline()
	_ = conn.SetDeadline(end)
	line, err := bufio.NewReader(io.LimitReader(conn, 1<<16)).ReadBytes('\n')
	text, ok := bytes.CutPrefix(line, []byte("INFO "))
	if err != nil || !ok {
		return ""
	}
	var info struct {
		Name string `json:"server_name"`
	}
	_ = json.Unmarshal(text, &info)
	return info.Name
}

// rightsHint is what to do about a right that a node's user lacks.
const rightsHint = "give that user the right on the server; with a setup of pulse provision, --renew %s makes credentials with all that a node needs"

// checkRights tries what the node will do on the server. It returns false if the login is another node's: what else could
// be found is about that node.
func (e *examination) checkRights(ctx context.Context, session *remote.Session) bool {
	rights, err := daemon.TryRights(ctx, &e.Config, session)
	failed := slices.DeleteFunc(slices.Clone(rights), func(r daemon.Right) bool { return r.Err == nil || r.Optional })
	node := e.Pulse.NodeName
	if foreign := daemon.DescribeForeignLogin(node, session.User(), len(failed) > 0); foreign != "" && daemon.IsLoginOf(ctx, &e.Config, session, session.User()) {
		e.add("rights", Failure, foreign+": the server refuses what it does under its own name",
			fmt.Sprintf("put the login of %s in its place, as pulse provision has it in nodes/%s; or give this node the name %s", node, node, session.User()))
		return false
	}
	if len(failed) > 0 && refusesAllMessages(rights) {
		e.addUselessLogin(session.User(), failed[0].Err)
		return false
	}
	written := ", write its buckets"
	for _, r := range rights {
		switch {
		case r.Err == nil:
		case errors.Is(r.Err, kv.ErrNoJetStream) && strings.HasSuffix(r.What, kv.ClusterBucket):
			written = ""
			e.add("rights", Warning, fmt.Sprintf("cannot %s: this login has no JetStream, and this node shares nothing with the others of its cluster", r.What),
				"enable JetStream on the server, and for the account of this login")
		case errors.Is(r.Err, kv.ErrNoJetStream):
			written = ""
			e.add("rights", Note, fmt.Sprintf("cannot %s: this login has no JetStream", r.What), "enable JetStream on the server, and for the account of this login")
		case r.Optional:
			written = ""
			e.add("rights", Note, fmt.Sprintf("cannot %s: %v; the node makes it, where it may", r.What, r.Err), "")
		default:
			part := hint.Split(r.Err)[0]
			if _, refused := errors.AsType[*remote.Failure](r.Err); refused {
				part.Hint = fmt.Sprintf(rightsHint, node)
			}
			e.add("rights", Failure, fmt.Sprintf("cannot %s: %s", r.What, part.Problem), part.Hint)
		}
	}
	if err != nil {
		e.add("rights", Note, "whether this node may publish is not known: "+err.Error(), "")
	}
	if len(failed) == 0 && err == nil {
		e.add("rights", Good, "publish its heartbeat and messages, receive answers"+written, "")
	}
	return true
}

// refusesAllMessages reports whether the server refuses each message that a node publishes.
func refusesAllMessages(rights []daemon.Right) bool {
	tried := slices.DeleteFunc(slices.Clone(rights), func(r daemon.Right) bool { return !r.Message })
	return len(tried) > 0 && !slices.ContainsFunc(tried, func(r daemon.Right) bool { return r.Err == nil })
}

// addUselessLogin adds one finding for a login with which a node can publish nothing, such as a reader's.
func (e *examination) addUselessLogin(user string, refusal error) {
	node := e.Pulse.NodeName
	advice := fmt.Sprintf("put the login of %s in its place, as pulse provision has it in nodes/%s; or give that user the rights of a node", node, node)
	if user == node {
		advice = fmt.Sprintf("set <subject_prefix> to the one that the server's users have; or, with a setup of pulse provision, --renew %s makes credentials with all that a node needs", node)
	}
	e.add("rights", Failure, "cannot publish anything that a node publishes: "+hint.Split(refusal)[0].Problem, advice)
}

// checkClustersServer reports whether this node's Pulse can run the NATS server of its cluster.
func (e *examination) checkClustersServer() {
	if _, err := natsserver.CheckHub(e.NATS.ServerConfig); err != nil {
		e.add("NATS", Failure, err.Error(), "carry the directory server of pulse provision there again, readable for Pulse's user")
		return
	}
	e.add("NATS", Note, "this Pulse runs the NATS server of its cluster: more is known while it runs", "")
}

// serverHint is what to do about a node whose messages nobody gets.
const serverHint = "set <server_url> to the XDR platform's NATS server, as a file of pulse provision does"

// checkEmbeddedServer reports whether the embedded server can be, or is, where the settings have it, and whether anybody
// gets what is published there.
func (e *examination) checkEmbeddedServer(ctx context.Context) {
	own := "Pulse's own server, at " + e.NATS.Listen
	free := bindPort(ctx, "tcp", e.NATS.Listen) == nil
	switch {
	case !free && !e.running: // a finding of the ports
		return
	case free && e.running:
		e.add("NATS", Warning, "the Pulse that runs does not listen at "+e.NATS.Listen, "restart it, to use the present settings")
		return
	case e.running && readServerName(ctx, e.NATS.Listen) != natsserver.Name:
		e.add("NATS", Failure, e.NATS.Listen+" (<nats><listen>) is taken by another program, and not by the Pulse that runs",
			"ss -lpn shows by whom: stop that, or set another port; then restart Pulse")
		return
	}
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
		e.add("name", Warning, fmt.Sprintf("whether another node is called %s is not known: %s", name, hint.Split(err)[0].Problem),
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

// checkOCSFStorage reports whether a stream of the NATS server takes the events of <ocsf_subject>.
func (e *examination) checkOCSFStorage(ctx context.Context, session *remote.Session) {
	if e.Config.NATS.OCSFSubject == "" {
		return
	}
	subjects := e.Config.NATS.OCSFSubject + ".>"
	switch listed, err := daemon.FindOCSFStorage(ctx, &e.Config, session); {
	case listed:
		e.add("OCSF", Good, "a stream of the NATS server stores "+subjects, "")
	case err != nil:
		e.add("OCSF", Note, "whether a stream of the NATS server stores OCSF events is not known: it does not list its streams", "")
	default:
		e.add("OCSF", Failure, "the NATS server lists no stream that takes "+subjects+": OCSF events wait", "make a stream for them there: pulse provision DIR --ocsf "+e.Config.NATS.OCSFSubject)
	}
}
