package provision_test

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/event/ocsf"
	"github.com/wazuh-pulse/pulse/internal/keys"
	"github.com/wazuh-pulse/pulse/internal/provision"
	"github.com/wazuh-pulse/pulse/seal"
)

func withOCSF(cfg *provision.Config) { cfg.OCSF = "ocsf.wazuh" }

const ocsfOfAgent = "ocsf.wazuh.node01.agent.001"

// readOCSF returns the first event about the agent, from the reader's own consumer.
func (s *stage) readOCSF(js jetstream.JetStream) jetstream.Msg {
	s.Helper()
	consumer, err := js.Consumer(patient(s), "OCSF", "xdr")
	if err != nil {
		s.Fatal(err)
	}
	for {
		m, err := consumer.Next(jetstream.FetchMaxWait(patience))
		if err != nil {
			s.Fatal(err)
		}
		if err := m.Ack(); err != nil {
			s.Fatal(err)
		}
		if m.Subject() == ocsfOfAgent {
			return m
		}
	}
}

func (s *stage) checkOCSF(text []byte) {
	s.Helper()
	var e ocsf.Event
	if err := json.Unmarshal(text, &e); err != nil || e.ClassUID != 6002 || e.Metadata.Version != "1.8.0" || e.Device == nil || e.Device.AgentList[0].UID != "001" {
		s.Errorf("%s: %v", text, err)
	}
}

// A node of a setup publishes OCSF events, below its own name alone; whoever reads STATUS gets none of them.
func TestANodeOfASetupPublishesOCSFEvents(t *testing.T) {
	t.Parallel()
	s := newStage(t, withOCSF)
	cfg := s.nodeSettings("node01")
	log := new(journal)
	s.runNode(cfg, log)
	nc, js := s.reader("xdr")
	live, err := nc.SubscribeSync("ocsf.wazuh.>")
	if err != nil {
		t.Fatal(err)
	}
	m := s.readOCSF(js)
	s.checkOCSF(m.Data())
	public, err := keys.ReadPublic(filepath.Join(cfg.Pulse.StateDir, "public.jwks"))
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := seal.NewVerifier(public...)
	if err != nil {
		t.Fatal(err)
	}
	if k, err := verifier.Verify(m.Headers().Get(seal.SignatureHeader), m.Data()); err != nil || k.Node != "node01" {
		t.Errorf("signature: %v, %v", k, err)
	}
	opener := &seal.Opener{Verifier: verifier, Guard: seal.NewGuard(seal.GuardConfig{})}
	for _, subject := range []string{ocsfOfAgent, "wazuh.xdr.agent.001.status_change"} {
		if _, err := opener.Open(seal.Message{Subject: subject, Header: m.Headers(), Data: m.Data()}); err == nil {
			t.Errorf("on %s the event is taken for a message of Pulse's", subject)
		}
	}
	s.awaitMessage(js, "STATUS", "wazuh.xdr.agent.001.status_change")
	status, err := js.Stream(patient(t), "STATUS")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := status.GetLastMsgForSubject(patient(t), ocsfOfAgent); err == nil {
		t.Error("STATUS has an event of OCSF")
	}
	s.nothingRefused(nc)
	if text := log.String(); strings.Contains(text, "refuse") || strings.Contains(text, "OCSF events cannot") {
		t.Errorf("the node's log:\n%s", text)
	}

	two, twoJS := s.node("node02")
	s.tell(twoJS, "ocsf.wazuh.node02.node", "{}")
	if err := two.Publish("ocsf.wazuh.node01.node", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	s.mayNot("ocsf.wazuh.node01.node")
	for m, err := live.NextMsgWithContext(patient(t)); ; m, err = live.NextMsgWithContext(patient(t)) {
		if err != nil {
			t.Fatal(err)
		}
		if m.Subject == "ocsf.wazuh.node02.node" {
			break
		}
	}
	if err := nc.Publish("ocsf.wazuh.xdr.node", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	s.mayNot("ocsf.wazuh.xdr.node")
}

// What a node encrypts leaves it as an OCSF event encrypted, too, for the same recipients.
func TestTheOCSFEventsOfANodeThatEncryptsAreEncrypted(t *testing.T) {
	t.Parallel()
	s := newStage(t, withOCSF)
	key, err := seal.GenerateKey(seal.Encryption)
	if err != nil {
		t.Fatal(err)
	}
	text, err := seal.MarshalKeys(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.nodeSettings("node01")
	cfg.NATS.EncryptMessages, cfg.NATS.RecipientsFile = true, filepath.Join(t.TempDir(), "recipients.jwks")
	if err := os.WriteFile(cfg.NATS.RecipientsFile, text, 0o600); err != nil {
		t.Fatal(err)
	}
	s.runNode(cfg, io.Discard)
	_, js := s.reader("xdr")
	m := s.readOCSF(js)
	if !seal.IsEncrypted(m.Data()) || m.Headers().Get("Content-Type") == "application/json" {
		t.Fatalf("in the clear: %v %s", m.Headers(), m.Data())
	}
	for name, values := range m.Headers() {
		if strings.Contains(strings.Join(values, " "), "web") {
			t.Errorf("%s: %v has the agent's name", name, values)
		}
	}
	decrypter, err := seal.NewDecrypter(key)
	if err != nil {
		t.Fatal(err)
	}
	event, err := decrypter.Decrypt(m.Data())
	if err != nil {
		t.Fatal(err)
	}
	s.checkOCSF(event)
}

func TestOCSFEventsAreAddedToASetupThatIsThere(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	st := s.open()
	if _, err := st.Change(provision.Change{OCSF: "wazuh.xdr.ocsf"}); err == nil || !strings.Contains(err.Error(), "within the other") {
		t.Errorf("among the messages: %v", err)
	}
	if _, err := st.Change(provision.Change{OCSF: "ocsf.wazuh", Renew: []string{"node01", "xdr"}}); err != nil {
		t.Fatal(err)
	}
	s.reload()
	made, err := st.Apply(patient(t), "")
	if err != nil {
		t.Fatal(err)
	}
	fresh := 0
	for _, m := range made {
		if m.New && strings.Contains(m.What, "OCSF") {
			fresh++
		}
	}
	if fresh != 3 {
		t.Errorf("made %v", made)
	}
	if _, err := st.Change(provision.Change{OCSF: "ocsf.other"}); err == nil || !strings.Contains(err.Error(), "ocsf.wazuh") {
		t.Errorf("another: %v", err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	s.runNode(s.nodeSettings("node01"), io.Discard)
	_, js := s.reader("xdr")
	s.checkOCSF(s.readOCSF(js).Data())
	for _, path := range []string{"streams/OCSF.json", "consumers/OCSF.soc.json"} {
		if _, err := os.Stat(s.path(path)); err != nil {
			t.Error(err)
		}
	}
	// Who has the former credentials has the former rights.
	two, _ := s.node("node02")
	if err := two.PublishMsg(nats.NewMsg("ocsf.wazuh.node02.node")); err != nil {
		t.Fatal(err)
	}
	s.mayNot("ocsf.wazuh.node02.node")
}

// Each right makes a login longer, and a server takes only so much: what would be too long is not made.
func TestALoginIsNoLongerThanAServerTakes(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("r", 64)
	cfg := requestedConfig(t)
	cfg.OCSF, cfg.Readers = strings.Repeat("o", 128), []string{long}
	if _, err := provision.New(cfg); err == nil || !strings.Contains(err.Error(), "takes no login") {
		t.Errorf("too long: %v", err)
	}
	if _, err := os.Stat(cfg.Dir); err == nil {
		t.Error("there is a setup all the same")
	}
	s := newStage(t, func(c *provision.Config) { c.OCSF, c.Readers = strings.Repeat("o", 38), []string{long} })
	text, err := os.ReadFile(s.path("readers/" + long + "/" + long + ".creds"))
	if err != nil {
		t.Fatal(err)
	}
	if token, err := jwt.ParseDecoratedJWT(text); err != nil || len(token) < 3600 {
		t.Errorf("%d bytes, %v", len(token), err)
	}
	nc, _ := s.connect("readers/"+long+"/"+long+".creds", nats.Name(long))
	s.nothingRefused(nc)
}
