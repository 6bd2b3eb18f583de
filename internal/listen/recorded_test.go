package listen

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

// recorded is one message between unmodified Wazuh 4.14.7 daemons.
type recorded struct {
	Proto, Direction, ID string
	Port                 int    `json:"client_port"`
	Wire                 string `json:"wire_hex"`
	Text                 string `json:"plaintext"`
	Token                string
}

const recordings = "../secmsg/testdata/"

func readRecording(t testing.TB, name string) (all []recorded) {
	t.Helper()
	data, err := os.ReadFile(recordings + name)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(data) {
		var r recorded
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

func (r *recorded) wire(t testing.TB) []byte {
	t.Helper()
	b, err := hex.DecodeString(r.Wire)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// answer returns what the recorded manager answered to a message, if anything.
func (r *recorded) answer() string {
	switch token, isAnswer := strings.CutPrefix(r.Text, "#!-req "); {
	case isAnswer && r.Proto == "udp" && !strings.HasSuffix(r.Text, " ack"):
		return "#!-req " + token[:len("abd6d8c6")] + " ack"
	case strings.HasPrefix(r.Text, "#!-agent startup ") || strings.Contains(r.Text, "merged.mg\n"):
		return ackReply
	}
	return ""
}

// The changes are those that the recorded manager wrote into its database.
func TestRecordedAgentsGetTheRecordedAnswersAndStatus(t *testing.T) {
	startToEnd := "never_connected→pending startup, pending→active connected, active→disconnected agent_shutdown"
	seenAtWork := "never_connected→active connected"
	for name, want := range map[string]map[string]string{
		"tcp-aes.jsonl":         {"006": startToEnd},
		"tcp-blowfish.jsonl":    {"007": startToEnd},
		"tcp-and-udp-aes.jsonl": {"001": seenAtWork, "002": seenAtWork, "003": seenAtWork, "004": seenAtWork, "005": seenAtWork},
	} {
		t.Run(name, func(t *testing.T) {
			all := readRecording(t, name)
			keyText, err := os.ReadFile(recordings + "client.keys")
			if err != nil {
				t.Fatal(err)
			}
			keys := readKeys(t, string(keyText))
			s := openLink(t, func(c *Config) { c.Keys = keys })
			table := detector.NewTable(detector.Settings{Group: detector.Group{Timeout: time.Hour, Interval: time.Hour, MaxMissed: 3},
				RetryInterval: time.Minute, Method: detector.Request})
			var members []detector.Member
			for key := range keys.All() {
				id, err := detector.ParseID(key.ID)
				if err != nil {
					t.Fatal(err)
				}
				members = append(members, detector.Member{ID: id, Name: key.Name, IP: key.IP.String()})
			}
			table.SetMembers(members, 0)

			agents := map[string]*agent{}
			changes := map[string][]string{}
			for i, r := range all {
				if r.Direction != "agent->manager" {
					continue
				}
				a := agents[r.ID]
				if a == nil {
					key, _ := keys.ByID([]byte(r.ID))
					conn, err := s.connect(r.Proto, "")
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { conn.Close() })
					a = &agent{t: t, conn: conn, stream: r.Proto == "tcp", key: secmsg.NewKey(key.ID, key.Name, key.Secret)}
					if r.Token == ":" {
						a.method = secmsg.Blowfish
					}
					agents[r.ID] = a
				}
				a.writeRaw(r.wire(t))
				if answer := r.answer(); answer != "" {
					a.expectMessage(answer)
				}
				a.expectNoAnswer()
				if strings.HasSuffix(r.Text, " ack") { // a receipt for a request that the link has not sent
					continue
				}
				select {
				case seen := <-s.sightings:
					table.Apply([]detector.Sighting{seen})
				case <-time.After(patience):
					t.Fatalf("message %d was not seen", i)
				}
				for _, d := range table.TakeDecisions() {
					if d.Verdict == detector.Changed {
						id := d.ID.String()
						changes[id] = append(changes[id], fmt.Sprintf("%v→%v %v", d.From, d.To, d.Reason))
					}
				}
			}
			for id, want := range want {
				if got := strings.Join(changes[id], ", "); got != want {
					t.Errorf("agent %s: %s, want %s", id, got, want)
				}
			}
			for why, n := range s.link.Stats().Refused {
				if n != 0 {
					t.Errorf("%d refused: %s", n, why)
				}
			}
		})
	}
}

// Every answer of the real manager that answer expects, and no other, is in the recordings.
func TestTheRecordedManagerSentWhatIsExpected(t *testing.T) {
	for _, name := range []string{"tcp-aes.jsonl", "tcp-blowfish.jsonl", "tcp-and-udp-aes.jsonl"} {
		all := readRecording(t, name)
		for i, r := range all {
			want := r.answer()
			if r.Direction != "agent->manager" || want == "" {
				continue
			}
			next := slices.IndexFunc(all[i+1:], func(n recorded) bool { return n.Direction == "manager->agent" && n.ID == r.ID })
			if next < 0 || all[i+1+next].Text != want {
				t.Errorf("%s message %d: the manager did not send %q", name, i, want)
			}
		}
	}
}
