package daemon

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/config"
)

// quiet is a node that asks its agents only when it is asked to.
func quiet(t *testing.T, change ...func(*config.Config)) *config.Config {
	t.Helper()
	cfg := testSettings(t)
	cfg.KeepAlive.Interval, cfg.KeepAlive.Timeout, cfg.KeepAlive.RetryInterval = time.Hour, 3*time.Hour, time.Hour
	for _, f := range change {
		f(cfg)
	}
	return cfg
}

// asker asks as an XDR platform does.
type asker struct {
	*testing.T
	nc *nats.Conn
}

func newAsker(t *testing.T, url string) *asker {
	t.Helper()
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return &asker{t, nc}
}

// ask asks again while nobody is there to answer, or the question was lost with
// the server.
func (a *asker) ask(subject, body string) (answer map[string]any, code string) {
	a.Helper()
	for deadline := time.Now().Add(testTimeout); ; {
		m, err := a.nc.Request(subject, []byte(body), testTimeout/4)
		if err == nil {
			if code = m.Header.Get(micro.ErrorCodeHeader); code != "" {
				return nil, code + " " + m.Header.Get(micro.ErrorHeader)
			}
			if err := json.Unmarshal(m.Data, &answer); err != nil {
				a.Fatalf("%v in %s", err, m.Data)
			}
			return answer, ""
		}
		if time.Now().After(deadline) {
			a.Fatalf("%s: %v", subject, err)
		}
	}
}

// wants asks until what is answered has a value under a name.
func (a *asker) wants(subject, body, name, value string) {
	a.Helper()
	for deadline := time.Now().Add(testTimeout); ; {
		answer, code := a.ask(subject, body)
		if fmt.Sprint(answer[name]) == value {
			return
		}
		if time.Now().After(deadline) {
			a.Fatalf("%s %s: %v %s, want %s %s", subject, body, answer, code, name, value)
		}
	}
}

func TestXDRClientsAskTheNode(t *testing.T) {
	t.Parallel()
	cfg := quiet(t)
	h := startTestNode(t, cfg)
	agents := h.startAgents(keyFile)
	h.waitAllActive("001", "002", "003")
	a := newAsker(t, h.node.NATSURL())
	if got, code := a.ask("pulse.agents.list", `{"status":"active","name":"??"}`); fmt.Sprint(got["total"]) != "1" {
		t.Errorf("%v %s", got, code)
	}
	if got, code := a.ask("pulse.status", ""); got["node"] != "node01" || got["version"] != "1.2.3" || got["link"] == nil {
		t.Errorf("%v %s", got, code)
	}
	got, code := a.ask("pulse.agents.ping", `{"id":"002","timeout_ms":10000}`)
	if rtt, ok := got["rtt_ms"].(float64); !ok || rtt <= 0 || rtt > 10_000 || got["name"] != "db" || got["node"] != "node01" {
		t.Errorf("%v %s", got, code)
	}
	h.nextMessage("the keep-alive that was asked for", func(m receivedMessage) bool {
		return m.Event != nil && m.Event.EventType == event.KeepAliveAcknowledged && m.Event.AgentID == "002"
	})
	if err := agents.Fail("003", agentsim.Hang); err != nil {
		t.Fatal(err)
	}
	if got, code := a.ask("pulse.agents.ping", `{"id":"003","timeout_ms":300}`); !strings.HasPrefix(code, "504 agent 003 did not answer within 300ms") {
		t.Errorf("%v %s", got, code)
	}
	if err := agents.Fail("001", agentsim.Shutdown); err != nil {
		t.Fatal(err)
	}
	h.nextChange("001", event.Disconnected)
	if got, code := a.ask("pulse.node01.agents.ping", `{"id":"001"}`); code != "409 agent 001 is disconnected" {
		t.Errorf("%v %s", got, code)
	}
	if got, code := a.ask("pulse.agents.get", `{"id":"009"}`); code != "404 agent 009 is not known to node node01" {
		t.Errorf("%v %s", got, code)
	}
}

// xdrServer runs the XDR platform's server at an address, or at any.
func xdrServer(t *testing.T, port int) *server.Server {
	t.Helper()
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(testTimeout) {
		t.Fatal("the server does not start")
	}
	return srv
}

func TestTwoNodesAreAskedOnTheXDRsServerAndAgainWhenItIsBack(t *testing.T) {
	t.Parallel()
	srv := xdrServer(t, server.RANDOM_PORT)
	url := srv.ClientURL()
	for i, keys := range []string{"001 web any 1111111111111111\n", "002 db any 2222222222222222\n"} {
		cfg := quiet(t, func(cfg *config.Config) {
			cfg.Pulse.NodeName, cfg.NATS.ServerURL, cfg.NATS.ReconnectDelay = fmt.Sprint("node", i+1), url, 50*time.Millisecond
		})
		writeKeys(t, cfg, keys)
		h := startTestNode(t, cfg)
		waitFor(t, h.startAgents(keys).Settled())
	}
	a := newAsker(t, url)
	for life := range 2 {
		if life > 0 {
			port := srv.Addr().(*net.TCPAddr).Port
			srv.Shutdown()
			srv.WaitForShutdown()
			srv = xdrServer(t, port)
		}
		for id, node := range map[string]string{"001": "node1", "002": "node2"} {
			a.wants("pulse."+node+".status", "", "node", node)
			a.wants("pulse."+node+".agents.list", `{"status":"active"}`, "total", "1")
			body := `{"id":"` + id + `","timeout_ms":10000}`
			a.wants("pulse.agents.ping", body, "node", node)
		}
	}
}
