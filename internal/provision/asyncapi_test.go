package provision

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/wazuh-pulse/pulse/internal/lastwill"
)

// A node may publish what its rights list, and the tests of rights show that it needs no more. So whatever is
// not here, by its reason, is for others to read and has a channel.
func TestWhateverANodePublishesHasAChannelInTheAsyncAPIDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/asyncapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Channels map[string]struct {
			Address string `json:"address"`
		} `json:"channels"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	internal := map[string]string{
		presenceSubject("NODE"):    "nodes of one name, among themselves",
		clusterSubject("NODE"):     "nodes of a cluster, among themselves",
		"$KV.PULSE_CLUSTER.NODE.>": "nodes of a cluster, among themselves",
		"$KV.PULSE_KEYS.NODE.>":    "of an earlier version",
		lastwill.Subject("NODE"):   "the server announces it on alerts.node_lost",
	}
	values := strings.NewReplacer("{prefix}", "wazuh.xdr", "{ocsfSubject}", "ocsf.wazuh", "{node}", "NODE", "{agentId}", "001")
	var addresses []string
	for _, c := range doc.Channels {
		addresses = append(addresses, values.Replace(c.Address))
	}
	s := &state{Prefix: "wazuh.xdr", OCSF: "ocsf.wazuh", Cluster: "main"}
	for _, subject := range s.nodeRights("NODE").Pub.Allow {
		if internal[subject] != "" || strings.HasPrefix(subject, "$JS.API.") {
			continue
		}
		pattern := regexp.MustCompile("^" + strings.NewReplacer(`\*`, `[^.]+`, `>`, `.+`).Replace(regexp.QuoteMeta(subject)) + "$")
		if !slices.ContainsFunc(addresses, pattern.MatchString) {
			t.Errorf("a node may publish on %s, and no channel has it", subject)
		}
	}
}
