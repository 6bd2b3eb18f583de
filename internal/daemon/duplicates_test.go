package daemon

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/message"
)

// A node without a cluster says it of machines that it refuses itself, and after a restart
// not once more within the hour.
func TestARefusedMachineWithAnAgentsKeyIsAnAlertOnce(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	h := startTestNode(t, cfg)
	h.await("its agents are known", func() bool { _, ok := h.node.detector.Agent(1); return ok })
	here, there := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	h.node.reportDuplicate(1, here, there)
	h.node.reportDuplicate(1, here, there)
	got := h.nextMessage("alert", func(m receivedMessage) bool { return m.Duplicated != nil }).Duplicated
	if got.AgentID != "001" || got.AgentName != "web" || len(got.Machines) != 2 || got.Machines[0] != (event.Machine{Node: "node01", IPAddress: "10.0.0.1"}) ||
		got.Machines[1] != (event.Machine{Node: "node01", IPAddress: "10.0.0.2"}) {
		t.Errorf("%+v", got)
	}
	h.awaitAnswer("/metrics", 200, "pulse_agents_duplicated_total 1")
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	again := openTestNode(t, cfg)
	again.startNode()
	again.node.reportDuplicate(1, here, there)
	again.awaitAnswer("/metrics", 200, "pulse_agents_duplicated_total 0")
}

func TestAStartReadsWhichNodesWereAnnouncedAsLostOrBack(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	h := startTestNode(t, cfg)
	h.node.publishRecord(message.Record{Alert: &message.ClusterAlert{Lost: &event.NodeLoss{Node: "two", Beat: 7}}})
	h.node.publishRecord(message.Record{Alert: &message.ClusterAlert{Back: &event.NodeLoss{Node: "node01", Beat: 5}}})
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	again := openTestNode(t, cfg)
	defer again.cancel()
	want := []message.NodeAlert{{Node: "two", Beat: 7}, {Node: "node01", Beat: 5, Back: true}}
	if got := again.node.out.announced; !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if err := again.node.close(); err != nil {
		t.Error(err)
	}
}
