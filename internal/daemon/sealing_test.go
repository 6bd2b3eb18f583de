package daemon

import (
	"bytes"
	"github.com/wazuh-pulse/pulse/internal/sealing"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/keys"
	"github.com/wazuh-pulse/pulse/seal"
)

// reader is an XDR platform that verifies what it hears.
type reader struct {
	t      *testing.T
	nc     *nats.Conn
	opener *seal.Opener
	heard  chan *nats.Msg
	rest   []*nats.Msg
}

func hearing(t *testing.T, url string, cfg *config.Config, key *seal.Key) *reader {
	t.Helper()
	all, err := keys.ReadPublic(filepath.Join(cfg.Pulse.StateDir, "public.jwks"))
	if err != nil {
		t.Fatal(err)
	}
	r := &reader{t: t, opener: &seal.Opener{Guard: seal.NewGuard(seal.GuardConfig{Complete: true})}, heard: make(chan *nats.Msg, 1<<16)}
	if r.opener.Verifier, err = seal.NewVerifier(all...); err != nil {
		t.Fatal(err)
	}
	if key != nil {
		if r.opener.Decrypter, err = seal.NewDecrypter(key); err != nil {
			t.Fatal(err)
		}
	}
	if r.nc, err = nats.Connect(url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.nc.Close)
	if _, err := r.nc.ChanSubscribe("wazuh.xdr.>", r.heard); err != nil {
		t.Fatal(err)
	}
	if err := r.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return r
}

// active reads until so many agents were told to be active. Every message has to be good.
func (r *reader) active(agents int) {
	r.t.Helper()
	deadline := time.After(testTimeout)
	kinds := map[string]int{}
	for waiting := agents; waiting > 0 || kinds["event"] == 0 || kinds["heartbeat"] == 0; {
		select {
		case m := <-r.heard:
			r.rest = append(r.rest, m)
			got, err := r.opener.Open(seal.Message{Subject: m.Subject, Header: m.Header, Data: m.Data})
			if err != nil {
				r.t.Fatalf("%s: %v\n%s", m.Subject, err, m.Data)
			}
			if got.Encrypted != (r.opener.Decrypter != nil) || got.Key.Node != "node01" {
				r.t.Errorf("%s: %+v", m.Subject, got)
			}
			switch told := got.Message.(type) {
			case *event.StatusChangeMessage:
				if told.StatusChange.CurrentStatus == event.Active {
					waiting--
				}
			case *event.KeepAliveMessage:
				kinds["event"]++
			case *event.ManagerStatusMessage:
				kinds["heartbeat"]++
			}
		case <-deadline:
			r.t.Fatalf("%d agents are not active; %v", waiting, kinds)
		}
	}
}

// entry is a value of a bucket, when it is there.
func (r *reader) entry(bucket, key string) *jetstream.RawStreamMsg {
	r.t.Helper()
	js, err := jetstream.New(r.nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		r.t.Fatal(err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(testTimeout); time.Now().Before(deadline); <-tick.C {
		s, err := js.Stream(r.t.Context(), "KV_"+bucket)
		if err != nil {
			continue
		}
		if m, err := s.GetLastMsgForSubject(r.t.Context(), "$KV."+bucket+"."+key); err == nil {
			return m
		}
	}
	r.t.Fatalf("no %s in %s", key, bucket)
	return nil
}

func TestEveryMessageIsSigned(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	h := openTestNode(t, cfg)
	r := hearing(t, h.node.NATSURL(), cfg, nil)
	h.startNode()
	h.startAgents(keyFile)
	r.active(3)
	if gaps := r.opener.Guard.Gaps(); gaps != nil {
		t.Errorf("missing: %v", gaps)
	}
	file, err := os.ReadFile(filepath.Join(cfg.Pulse.StateDir, "public.jwks"))
	if err != nil {
		t.Fatal(err)
	}
	if shown := r.entry(keys.Bucket, "node01").Data; !bytes.Equal(bytes.TrimSpace(file), shown) {
		t.Errorf("shown on NATS\n%s\nin the file\n%s", shown, file)
	}
	value := r.entry(event.AgentsBucket, "001")
	if s, err := r.opener.OpenState("001", value.Header, value.Data); err != nil || s.AgentName != "web" {
		t.Errorf("%+v, %v", s, err)
	}
	q := seal.NewQuestion("pulse.agents.get", []byte(`{"id":"001"}`))
	answer, err := r.nc.RequestMsg(&nats.Msg{Subject: q.Subject, Header: q.Header(), Data: q.Data}, testTimeout)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := r.opener.OpenAnswer(q, answer.Header, answer.Data); err != nil || !bytes.Contains(text, []byte(`"web"`)) {
		t.Errorf("%s, %v", text, err)
	}
}

// Who takes the keys from the bucket knows the next one before a message is signed with it.
func TestANewKeyIsShownBeforeItIsUsed(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	h := startTestNode(t, cfg)
	r := hearing(t, h.node.NATSURL(), cfg, nil)
	before := r.entry(keys.Bucket, "node01").Sequence
	files := sealing.KeyFiles(cfg)
	next, err := files.RotateSigning(false)
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(testTimeout); ; <-tick.C {
		shown := r.entry(keys.Bucket, "node01")
		if shown.Sequence != before {
			if all, err := seal.ParseKeys(shown.Data); err != nil || len(all) != 2 || !all[0].Equal(next) {
				t.Errorf("shown: %v, %v", all, err)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the new key is not shown")
		}
	}
	h.startAgents(keyFile)
	r.active(3) // with the keys of before
}

// tap is a TCP proxy that keeps all that goes through it.
type tap struct {
	net.Listener
	to   string
	mu   sync.Mutex
	seen bytes.Buffer
	open []net.Conn
	work sync.WaitGroup
}

func tapInto(t *testing.T, to string) *tap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{Listener: l, to: strings.TrimPrefix(to, "nats://")}
	p.work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.work.Go(func() { p.carry(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		for _, c := range p.open {
			c.Close()
		}
		p.mu.Unlock()
		p.work.Wait()
	})
	return p
}

func (p *tap) carry(near net.Conn) {
	defer near.Close()
	far, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer far.Close()
	p.mu.Lock()
	p.open = append(p.open, near, far)
	p.mu.Unlock()
	var both sync.WaitGroup
	copying := func(to, from net.Conn) {
		defer to.Close()
		buf := make([]byte, 1<<16)
		for {
			n, err := from.Read(buf)
			p.mu.Lock()
			p.seen.Write(buf[:n])
			p.mu.Unlock()
			if err != nil {
				return
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
	}
	both.Go(func() { copying(far, near) })
	both.Go(func() { copying(near, far) })
	both.Wait()
}

func (p *tap) saw(text string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bytes.Contains(p.seen.Bytes(), []byte(text))
}

const secretNames = "001 hidden-web any 1111111111111111\n002 hidden-db any 2222222222222222\n"

func recipient(t *testing.T, cfg *config.Config) *seal.Key {
	t.Helper()
	k, err := seal.GenerateKey(seal.Encryption)
	if err != nil {
		t.Fatal(err)
	}
	text, err := seal.MarshalKeys(k)
	if err != nil {
		t.Fatal(err)
	}
	cfg.NATS.EncryptMessages, cfg.NATS.RecipientsFile = true, filepath.Join(t.TempDir(), "recipients.jwks")
	if err := os.WriteFile(cfg.NATS.RecipientsFile, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return k
}

func TestWithEncryptionThePlainTextIsNowhere(t *testing.T) {
	t.Parallel()
	xdr := far(t)
	stored(t, xdr)
	wire := tapInto(t, xdr.ClientURL())
	cfg := testSettings(t)
	writeKeys(t, cfg, secretNames)
	cfg.NATS.ServerURL, cfg.NATS.AuditDetail = "nats://"+wire.Addr().String(), "full"
	key := recipient(t, cfg)
	h := openTestNode(t, cfg)
	r := hearing(t, xdr.ClientURL(), cfg, key)
	h.startNode()
	h.startAgents(secretNames)
	r.active(2)
	value := r.entry(event.AgentsBucket, "001")
	if s, err := r.opener.OpenState("001", value.Header, value.Data); err != nil || s.AgentName != "hidden-web" {
		t.Errorf("%+v, %v", s, err)
	}
	for _, question := range []string{"pulse.agents.get", "pulse.agents.ping", "pulse.agents.list"} {
		ask := `{"id":"001"}`
		if strings.HasSuffix(question, "list") {
			ask = `{}`
		}
		q := seal.NewQuestion(question, []byte(ask))
		answer, err := r.nc.RequestMsg(&nats.Msg{Subject: q.Subject, Header: q.Header(), Data: q.Data}, testTimeout)
		if err != nil {
			t.Fatal(err)
		}
		if text, err := r.opener.OpenAnswer(q, answer.Header, answer.Data); err != nil || !bytes.Contains(text, []byte("hidden-web")) {
			t.Errorf("%s: %s, %v", question, text, err)
		}
	}
	r.entry(keys.Bucket, "node01")
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	if !wire.saw("wazuh.xdr.agent.001.status_change") || !wire.saw("$KV.PULSE_AGENTS.001") {
		t.Error("the capture has no messages in it, so it proves nothing")
	}
	if wire.saw("hidden-") {
		t.Error("an agent's name went over the wire in the clear")
	}
	searched := 0
	err := filepath.WalkDir(cfg.Pulse.StateDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if bytes.Contains(text, []byte("hidden-")) {
			t.Errorf("an agent's name is in %s in the clear", path)
		}
		searched++
		return err
	})
	if err != nil || searched < 10 {
		t.Errorf("searched %d files: %v", searched, err)
	}

	h = openTestNode(t, cfg) // and it knows what it told
	h.startNode()
	if lines := h.log.about("restored the state of the last run"); len(lines) != 1 || !strings.Contains(lines[0], "2") {
		t.Errorf("restored: %q", lines)
	}
	if page, _ := h.node.detector.Page(0); len(page) != 2 || !strings.HasPrefix(page[0].Name, "hidden-") {
		t.Errorf("restored: %+v", page)
	}
	if lines := h.log.about("cannot be read"); len(lines) > 0 {
		t.Errorf("%q", lines)
	}
}

func TestTheRosterIsWrittenAnewForOtherRecipients(t *testing.T) {
	t.Parallel()
	xdr := far(t)
	cfg := testSettings(t)
	cfg.NATS.ServerURL = xdr.ClientURL()
	h := startTestNode(t, cfg)
	waitFor(t, h.startAgents(keyFile).Settled())
	h.state(xdr.ClientURL(), "003", activeNow)
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	key := recipient(t, cfg)
	startTestNode(t, cfg)
	r := hearing(t, xdr.ClientURL(), cfg, key)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(testTimeout); ; <-tick.C {
		m := r.entry(event.AgentsBucket, "003")
		s, err := r.opener.OpenState("003", m.Header, m.Data)
		if err == nil && s.AgentName == "mail" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v: %s", err, m.Data)
		}
	}
}

func TestKeysThatAreInTheWayAreNamedWithTheWayOut(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*config.Config)
		want   string
	}{
		{"no recipients", func(c *config.Config) {
			c.NATS.EncryptMessages, c.NATS.RecipientsFile = true, filepath.Join(c.Pulse.StateDir, "none")
		},
			"pulse keys generate --use enc FILE"},
		{"a private recipient", func(c *config.Config) {
			c.NATS.EncryptMessages, c.NATS.RecipientsFile = true, filepath.Join(c.Pulse.Home, "r.jwk")
			if _, err := keys.CreatePrivate(c.NATS.RecipientsFile, seal.Encryption); err != nil {
				t.Fatal(err)
			}
		}, "key 1 is a private one"},
		{"a signing key that others may read", func(c *config.Config) {
			c.NATS.SigningKeyFile = filepath.Join(c.Pulse.Home, "s.jwk")
			if _, err := keys.CreatePrivate(c.NATS.SigningKeyFile, seal.Signing); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(c.NATS.SigningKeyFile, 0o640); err != nil {
				t.Fatal(err)
			}
		}, "chmod 600 it"},
		{"a directory without the right to make a key", func(c *config.Config) { c.NATS.SigningKeyFile = filepath.Join(c.Pulse.Home, "none", "s.jwk") },
			"no such file"},
	} {
		cfg := testSettings(t)
		tt.change(cfg)
		n, err := Open(t.Context(), cfg, "1.2.3", slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "<nats>") {
			t.Errorf("%s: %v", tt.name, err)
		}
		if err == nil {
			_ = n.close()
		}
	}
}

func TestTheKeysOfANodeAreItsOwnersAlone(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	recipient(t, cfg)
	h := startTestNode(t, cfg)
	for name, want := range map[string]fs.FileMode{"signing.jwk": 0o600, "reading.jwk": 0o600, "public.jwks": 0o644} {
		if info, err := os.Stat(filepath.Join(cfg.Pulse.StateDir, name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"signing.jwk", "reading.jwk"} {
		text, err := os.ReadFile(filepath.Join(cfg.Pulse.StateDir, name))
		if err != nil {
			t.Fatal(err)
		}
		_, secret, _ := strings.Cut(string(text), `"d": "`)
		if lines := h.log.about(secret[:20]); len(secret) < 40 || len(lines) > 0 {
			t.Errorf("%s is in the log: %q", name, lines)
		}
	}
}
