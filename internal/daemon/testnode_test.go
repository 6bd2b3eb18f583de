package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/schema"
)

// testTimeout is how long a test waits for what has to come.
const testTimeout = time.Minute

const keyFile = `001 web any 1111111111111111
002 db any 2222222222222222
003 mail any 3333333333333333
`

// testSettings are those of a quick node that lives in a directory of its own.
func testSettings(t *testing.T) *config.Config {
	t.Helper()
	dir := t.TempDir()
	cfg := config.Default()
	cfg.Pulse.Home, cfg.Pulse.StateDir, cfg.Pulse.ClientKeys = dir, filepath.Join(dir, "state"), filepath.Join(dir, "client.keys")
	cfg.Pulse.NodeName, cfg.Pulse.HTTP = "node01", "127.0.0.1:0"
	cfg.Remote.LocalIP, cfg.Remote.Port = netip.MustParseAddr("127.0.0.1"), 0
	cfg.NATS.Listen = "127.0.0.1:0"
	cfg.KeepAlive = config.KeepAlive{Enabled: true, Interval: 200 * time.Millisecond, Timeout: time.Minute, MaxMissed: 3,
		RetryInterval: 500 * time.Millisecond, Method: "request", ReconnectGrace: 50 * time.Millisecond}
	writeKeys(t, &cfg, keyFile)
	return &cfg
}

// patientSettings are those of a node that loses no agent for its silence within a test,
// however busy the machine is. It asks again as often as any.
func patientSettings(t *testing.T) *config.Config {
	t.Helper()
	cfg := testSettings(t)
	cfg.KeepAlive.MaxMissed = int(2 * testTimeout / cfg.KeepAlive.RetryInterval)
	return cfg
}

func writeKeys(t *testing.T, cfg *config.Config, text string) {
	t.Helper()
	path := cfg.Pulse.ClientKeys
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// testNode is a node, and all it says on NATS.
type testNode struct {
	t        *testing.T
	node     *Node
	log      *logbook
	messages chan *nats.Msg
	last     uint64 // sequence
	epoch    uint64
	ctx      context.Context // of the run
	cancel   context.CancelFunc
	ended    chan error
	stop     func() error // ends the node; the first call's error is that of all
}

func startTestNode(t *testing.T, cfg *config.Config) *testNode {
	t.Helper()
	h := openTestNode(t, cfg)
	h.subscribe(cfg)
	h.startNode()
	return h
}

func openTestNode(t *testing.T, cfg *config.Config) *testNode {
	t.Helper()
	h := &testNode{t: t, log: new(logbook), messages: make(chan *nats.Msg, 1<<16), ended: make(chan error, 1)}
	var err error
	if h.node, err = Open(t.Context(), cfg, "1.2.3", slog.New(h.log)); err != nil {
		t.Fatal(err)
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	return h
}

// subscribe subscribes to all that the node will say.
func (h *testNode) subscribe(cfg *config.Config) {
	h.t.Helper()
	url := h.node.NATSURL()
	if url == "" {
		return
	}
	client, err := nats.Connect(url)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(client.Close)
	if _, err := client.ChanSubscribe(cfg.NATS.SubjectPrefix+".>", h.messages); err != nil {
		h.t.Fatal(err)
	}
	if err := client.Flush(); err != nil {
		h.t.Fatal(err)
	}
}

func (h *testNode) startNode() {
	go func() { h.ended <- h.node.Run(h.ctx) }()
	h.stop = sync.OnceValue(func() error {
		h.cancel()
		select {
		case err := <-h.ended:
			return err
		case <-time.After(testTimeout):
			return errors.New("the node does not end")
		}
	})
	h.t.Cleanup(func() {
		if err := h.stop(); err != nil {
			h.t.Error(err)
		}
	})
}

// startAgents runs agents of a key file against the node.
func (h *testNode) startAgents(keys string, change ...func(*agentsim.Config)) *agentsim.Fleet {
	h.t.Helper()
	set, _, err := clientkeys.Parse(strings.NewReader(keys))
	if err != nil {
		h.t.Fatal(err)
	}
	cfg := agentsim.Config{Manager: h.node.AgentAddr().String(), Notify: 100 * time.Millisecond, Retry: 200 * time.Millisecond}
	cfg.Keys = set.Keys()
	for _, f := range change {
		f(&cfg)
	}
	f, err := agentsim.New(cfg)
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = f.Run(ctx) })
	h.t.Cleanup(func() { cancel(); running.Wait() })
	return f
}

// receivedMessage is what all messages have in common, and what they may have.
type receivedMessage struct {
	Event     *event.KeepAlive     `json:"event"`
	Change    *event.StatusChange  `json:"status_change"`
	Status    *event.ManagerStatus `json:"manager_status"`
	Condition *event.NodeCondition `json:"node_condition"`
	Flapping  *event.AgentFlapping `json:"agent_flapping"`
	Outage    *event.FleetOutage   `json:"fleet_outage"`
	Recovered *event.FleetOutage   `json:"fleet_recovered"`

	Duplicated *event.AgentDuplicated `json:"agent_duplicated"`

	Subject string `json:"-"`
	event.Security
}

var schemas = sync.OnceValue(func() map[string]*jsonschema.Schema {
	compiled := make(map[string]*jsonschema.Schema)
	for _, name := range []string{"keepalive", "status_change", "manager_status", "node_condition", "agent_flapping", "fleet_outage", "agent_duplicated"} {
		f, err := schema.Files.Open(name + ".schema.json")
		if err != nil {
			panic(err)
		}
		doc, err := jsonschema.UnmarshalJSON(f)
		if err != nil {
			panic(err)
		}
		c := jsonschema.NewCompiler()
		if err := c.AddResource("mem:///"+name, doc); err != nil {
			panic(err)
		}
		compiled[name] = c.MustCompile("mem:///" + name)
	}
	return compiled
})

// checkMessage checks all that is promised of every message.
func (h *testNode) checkMessage(m *nats.Msg) receivedMessage {
	h.t.Helper()
	var body struct {
		receivedMessage
		Security event.Security `json:"security"`
	}
	if err := json.Unmarshal(m.Data, &body); err != nil {
		h.t.Fatalf("%s: %v", m.Subject, err)
	}
	got := body.receivedMessage
	got.Subject, got.Security = m.Subject, body.Security
	kind := "keepalive"
	if got.Change != nil {
		kind = "status_change"
	} else if got.Status != nil {
		kind = "manager_status"
	} else if got.Condition != nil {
		kind = "node_condition"
	} else if got.Flapping != nil {
		kind = "agent_flapping"
	} else if got.Duplicated != nil {
		kind = "agent_duplicated"
	} else if got.Outage != nil || got.Recovered != nil {
		kind = "fleet_outage"
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(m.Data)))
	if err != nil {
		h.t.Fatal(err)
	}
	if err := schemas()[kind].Validate(doc); err != nil {
		h.t.Errorf("%s: %v", m.Data, err)
	}
	s := &got.Security
	if s.Subject != m.Subject || !strings.HasPrefix(m.Header.Get("Nats-Msg-Id"), s.ID()+"-") || m.Header.Get("Content-Type") != event.ContentType {
		h.t.Errorf("%s: header %v, security %+v", m.Subject, m.Header, s)
	}
	if s.Node != "node01" || s.Version != "1.2.3" || s.Epoch == 0 {
		h.t.Errorf("%s: security %+v", m.Subject, s)
	}
	if want := h.last + 1; s.Sequence != want {
		h.t.Errorf("%s: sequence %d, want %d", m.Subject, s.Sequence, want)
	}
	h.last, h.epoch = s.Sequence, s.Epoch
	return got
}

// nextMessage waits for a message that fits.
func (h *testNode) nextMessage(what string, fits func(receivedMessage) bool) receivedMessage {
	h.t.Helper()
	deadline := time.After(testTimeout)
	for {
		select {
		case m := <-h.messages:
			if got := h.checkMessage(m); fits(got) {
				return got
			}
		case <-deadline:
			h.t.Fatalf("no %s; log: %q", what, h.log.about(""))
		}
	}
}

// nextChange waits for a status change on the agent's own subject.
func (h *testNode) nextChange(id string, to event.Status) *event.StatusChange {
	h.t.Helper()
	return h.nextMessage(fmt.Sprintf("change of %s to %d", id, to), func(m receivedMessage) bool {
		return m.Subject == "wazuh.xdr.agent."+id+".status_change" && m.Change.AgentID == id && m.Change.CurrentStatus == to
	}).Change
}

func (h *testNode) waitAllActive(ids ...string) {
	h.t.Helper()
	waiting := map[string]bool{}
	for _, id := range ids {
		waiting[id] = true
	}
	h.nextMessage("active fleet", func(m receivedMessage) bool {
		if m.Change != nil && m.Change.CurrentStatus == event.Active {
			delete(waiting, m.Change.AgentID)
		}
		return len(waiting) == 0
	})
}

// drainMessages returns all messages that were said and not read.
func (h *testNode) drainMessages() (all []receivedMessage) {
	for {
		select {
		case m := <-h.messages:
			all = append(all, h.checkMessage(m))
		default:
			return all
		}
	}
}
