package cluster

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/ownership"
	"github.com/wazuh-pulse/pulse/seal"
)

// signedValue returns the value that a node stores under a key.
func signedValue(t testing.TB, node, key string, by *seal.Key, text string) []byte {
	t.Helper()
	sign, err := seal.NewSigner(by)
	if err != nil {
		t.Fatal(err)
	}
	s := signer{node, sign, keyIDOf(by)}
	return s.signBatch([]record{{key, text}})[0]
}

func TestWhatIsNotANodesOwnRecordIsRefusedAndCounted(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1)
	a := s.join("node01")
	key, other := newKey(t, "node02"), newKey(t, "node03")
	s.publishKeys("node02", key.Public())
	s.publishKeys("node03", other.Public())
	claim := func(epoch, number int) string {
		return fmt.Sprintf("claim %d %d here 1 2 0 0 10.0.0.1 0", epoch, number)
	}
	good := signedValue(t, "node02", "node02.001", key, claim(1, 1))
	for name, c := range map[string]struct {
		key   string
		value []byte
	}{
		"nothing":             {"node02.101", nil},
		"no signature":        {"node02.102", []byte(claim(1, 2))},
		"JSON":                {"node02.103", []byte(`{"here":true}`)},
		"of another node":     {"node02.104", signedValue(t, "node03", "node02.104", other, claim(1, 2))},
		"in another's name":   {"node02.105", signedValue(t, "node02", "node02.105", other, claim(1, 2))},
		"of another key":      {"node02.106", good},
		"changed":             {"node02.001", []byte(strings.Replace(string(good), "10.0.0.1", "10.0.0.2", 1))},
		"no record":           {"node02.107", signedValue(t, "node02", "node02.107", key, "hello world and all")},
		"beat under an agent": {"node02.108", signedValue(t, "node02", "node02.108", key, "beat 1 2 3 alone 1 0 0 -")},
		"no key":              {"node02.xyz.1", signedValue(t, "node02", "node02.xyz.1", key, claim(1, 2))},
		"no node's key":       {"node09.109", signedValue(t, "node09", "node09.109", newKey(t, "node09"), claim(1, 2))},
		"of the future":       {"node02.110", signedValue(t, "node02", "node02.110", key, "claim 1 2 here 1 2 0 4000000000 - 0")},
	} {
		before := a.Status().Refused
		if _, err := s.js.Publish(patient(t), keyPrefix+c.key, c.value); err != nil {
			t.Fatal(err)
		}
		s.hint()
		awaitCondition(t, name+" is refused", func() bool { return a.Status().Refused > before })
	}
	if _, claims := a.memberBytes(); claims != 0 {
		t.Errorf("%d claims are taken", claims)
	}
	if lines := strings.Count(a.log.String(), "is refused"); lines != 1 {
		t.Errorf("%d lines in the log:\n%s", lines, a.log)
	}
	if _, err := s.js.Publish(patient(t), keyPrefix+"node02.001", good); err != nil {
		t.Fatal(err)
	}
	s.hint()
	a.awaitOwner(1, "node02")
}

// Whoever has a node's key can claim agents in its name. The node withdraws what it has not claimed.
func TestClaimsInANodesNameThatItHasNotMadeAreWithdrawn(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1)
	a, b := s.join("node01", patientBeats), s.join("node02", patientBeats)
	b.claim(1)
	a.awaitOwner(1, "node02")
	b.CompleteClaims()
	for id := ownership.AgentID(2); id < 5; id++ {
		c := &ownership.Claim{Agent: id, Since: 1, Sign: 1}
		text := string(ownership.AppendClaim(nil, ownership.Stamp{Epoch: 5, Number: uint64(id)}, c, 0))
		key := "node02." + id.String()
		if _, err := s.js.Publish(patient(t), keyPrefix+key, signedValue(t, "node02", key, b.key, text)); err != nil {
			t.Fatal(err)
		}
	}
	s.hint()
	awaitCondition(t, "it is logged", func() bool { return strings.Contains(b.log.String(), "that it has not made") })
	for id := ownership.AgentID(2); id < 5; id++ {
		a.awaitOwner(id, "")
		b.awaitOwner(id, "")
	}
	a.awaitOwner(1, "node02")
}

// hint has the nodes read what was stored by a test.
func (s *servers) hint() {
	s.t.Helper()
	order := s.stream().CachedInfo().State.LastSeq
	if err := s.js.Conn().Publish(hintSubject("test"), encodeOrder(order)); err != nil {
		s.t.Fatal(err)
	}
}

func (v *View) memberBytes() (bytes, claims int) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.member.State.Bytes()
}

// A record that is stored again, with a newer order, is no news.
func TestAnOldRecordThatIsStoredAgainIsRefused(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1)
	a, b := s.join("node01"), s.join("node02")
	b.claim(1)
	a.awaitOwner(1, "node02")
	old, err := s.stream().GetLastMsgForSubject(patient(t), keyPrefix+"node02.001")
	if err != nil {
		t.Fatal(err)
	}
	b.Depart(1, ownership.Stopped, 5)
	a.awaitOwner(1, "")
	before := a.Status().Replayed
	if _, err := s.js.Publish(patient(t), old.Subject, old.Data); err != nil {
		t.Fatal(err)
	}
	s.hint()
	awaitCondition(t, "it is refused", func() bool { return a.Status().Replayed > before })
	a.awaitOwner(1, "")
	awaitCondition(t, "its node stores the true one again", func() bool {
		m, err := s.stream().GetLastMsgForSubject(patient(t), keyPrefix+"node02.001")
		return err == nil && strings.Contains(string(m.Data), " stopped 5 ")
	})
}

// The records of a node that has lost its state directory are signed with a key that is gone,
// and those who have read them before believe them still.
func TestANodeWithANewKeyReplacesItsOldRecords(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1)
	b, before := s.join("node02", patientBeats), s.join("node01", patientBeats)
	for id := ownership.AgentID(1); id <= 4; id++ {
		before.claim(id)
		b.awaitOwner(id, "node01")
	}
	before.Depart(3, ownership.Lost, 7)
	b.awaitOwner(3, "")
	before.close()
	a := s.join("node01", patientBeats)
	a.claim(1)
	awaitCondition(t, "it has read its old records", func() bool { return a.Status().Loaded && a.Status().Refused > 0 })
	b.awaitOwner(2, "node01") // it may be there, and has not shown itself yet
	awaitCondition(t, "the bucket was checked", func() bool { return a.Status().Stored > 2 })
	a.claim(4)
	a.CompleteClaims()
	b.awaitOwner(2, "")
	b.awaitOwner(1, "node01")
	b.awaitOwner(4, "node01")
	late := s.join("node03", patientBeats)
	awaitCondition(t, "none of the old records is left", func() bool {
		return late.Status().Loaded && len(b.Claims(3)) == 0 && len(late.Claims(2))+len(late.Claims(3)) == 0
	})
	late.awaitOwner(1, "node01")
	late.awaitOwner(4, "node01")
	if refused := late.Status().Refused; refused > 0 {
		t.Errorf("%d records are refused", refused)
	}
	if rereads := a.Status().Rereads; rereads > 0 {
		t.Errorf("the bucket was read %d times more", rereads)
	}
}

func TestRecordsAreTakenOnceTheKeyOfTheirNodeIsPublished(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1)
	a := s.join("node01")
	key := newKey(t, "node02")
	if _, err := s.js.Publish(patient(t), keyPrefix+"node02.001", signedValue(t, "node02", "node02.001", key, "claim 1 1 here 1 2 0 0 - 0")); err != nil {
		t.Fatal(err)
	}
	s.hint()
	awaitCondition(t, "it is refused", func() bool { return a.Status().Refused > 0 })
	b := s.joinWith("node02", key)
	b.claim(2)
	awaitCondition(t, "the node waits", func() bool { return strings.Contains(b.log.String(), "not in the bucket of the keys yet") })
	if stored := b.Status().Stored; stored > 0 {
		t.Errorf("%d records are stored before", stored)
	}
	s.publishKeys("node02", newKey(t, "node02").Public(), key.Public())
	a.awaitOwner(1, "node02")
	a.awaitOwner(2, "node02")
}

func TestWithoutASignatureThereIsNoView(t *testing.T) {
	if v, err := Open(Config{Node: "node01"}); err == nil || !strings.Contains(err.Error(), "message_signing") {
		t.Error(v, err)
	}
	for _, name := range []string{"", "no.de", "*"} {
		if v, err := Open(Config{Node: name}); err == nil {
			t.Error(v, err)
		}
	}
}

// A full bucket refuses new keys only.
func TestABucketThatIsFullHoldsNoBeatUp(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1)
	a, b := s.join("node01", patientBeats), s.join("node02", patientBeats)
	a.claim(1)
	b.awaitOwner(1, "node01")
	b.awaitNode("node01", false)
	a.awaitNode("node02", false)
	cfg := s.stream().CachedInfo().Config
	cfg.MaxMsgs = 3
	if _, err := s.js.UpdateStream(patient(t), cfg); err != nil {
		t.Fatal(err)
	}
	a.claim(2)
	awaitCondition(t, "a record is refused", func() bool { return a.Status().Failed > 2 })
	a.Depart(1, ownership.Lost, 7)
	b.awaitOwner(1, "")
	stored := a.Status().Stored
	awaitCondition(t, "beats are stored", func() bool { return a.Status().Stored > stored+1 })
	if lost := b.found(ownership.NodeLost); len(lost) > 0 {
		t.Errorf("%+v", lost)
	}
	cfg.MaxMsgs = 100
	if _, err := s.js.UpdateStream(patient(t), cfg); err != nil {
		t.Fatal(err)
	}
	b.awaitOwner(2, "node01")
}

func TestTheHeaderOfASignatureIsTheOneOfItsKey(t *testing.T) {
	key := newKey(t, "node01")
	sign, err := seal.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	if header, _, _ := strings.Cut(sign.Sign([]byte("x")), ".."); header != signatureHeader(key.Public()) {
		t.Errorf("%s, want %s", header, signatureHeader(key))
	}
}

func TestEveryRecordOfABatchHasAProof(t *testing.T) {
	t.Parallel()
	key := newKey(t, "node01")
	sign, err := seal.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	s := signer{"node01", sign, keyIDOf(key)}
	for n := 1; n <= batchMax; n++ {
		v := newVerifier("node01", []*seal.Key{key.Public()})
		var records []record
		for i := range n {
			records = append(records, record{fmt.Sprint("node01.", 100+i), fmt.Sprint("text ", i)})
		}
		for i, value := range s.signBatch(records) {
			if len(value) > valueMax/2 {
				t.Fatalf("%d bytes", len(value))
			}
			if text, err := v.verifyValue(records[i].key, value); err != nil || text != records[i].text {
				t.Fatalf("%d of %d: %q, %v", i, n, text, err)
			}
			if text, err := v.verifyValue("node01.999", value); err == nil {
				t.Fatalf("%d of %d is accepted under another key: %q", i, n, text)
			}
		}
		if v.next != 1 {
			t.Errorf("%d signatures were verified for %d records", v.next, n)
		}
	}
}

func FuzzVerifyValue(f *testing.F) {
	key := newKey(f, "node01")
	v := newVerifier("node01", []*seal.Key{key.Public()})
	good := signedValue(f, "node01", "node01.001", key, "claim 1 1 here 1 2 0 0 - 0")
	f.Add("node01.001", good)
	f.Add("node01.001", []byte("claim\nAAAA"))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		if text, err := v.verifyValue(key, value); err == nil && (key != "node01.001" || text != "claim 1 1 here 1 2 0 0 - 0") {
			t.Errorf("%q is accepted under %q", value, key)
		}
	})
}

// Who says that there is more than there is has nobody else wait, or ask for it again and again.
func TestAFalseHintCostsTheOthersNothing(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1)
	a, b := s.join("node01"), s.join("node02", func(_ *Config, t *timing) { t.answer = 200 * time.Millisecond })
	b.awaitNode("node01", false)
	for _, data := range [][]byte{nil, []byte("12345678"), []byte("123456789"), encodeOrder(1 << 60), encodeOrder(1<<64 - 1)} {
		if err := s.js.Conn().Publish(hintSubject("node09"), data); err != nil {
			t.Fatal(err)
		}
	}
	a.claim(1)
	b.awaitOwner(1, "node01")
	awaitCondition(t, "the hint is found to be false", func() bool { return b.Status().FalseHints > 0 })
	before, beats := b.Status(), a.Status().Stored
	for range 10 {
		if err := s.js.Conn().Publish(hintSubject("node09"), encodeOrder(1<<61)); err != nil {
			t.Fatal(err)
		}
	}
	a.claim(2)
	b.awaitOwner(2, "node01")
	awaitCondition(t, "some beats pass", func() bool { return a.Status().Stored > beats+5 })
	after := b.Status()
	if asked, read := after.Requests-before.Requests, after.Read-before.Read; after.FalseHints > 1 || asked > 2*read+4 {
		t.Errorf("%d requests for %d records, %d false hints", asked, read, after.FalseHints)
	}
}
