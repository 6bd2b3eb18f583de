package daemon

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/hostprobe"
)

// listenOnAllHosts listens on a port of every address of loopback, and so on all agents' hosts.
func listenOnAllHosts(t *testing.T) (port int) {
	t.Helper()
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().(*net.TCPAddr).Port
}

// answerOf returns how a host is found to answer by one of its ports.
func answerOf(port int) string {
	if hostprobe.CheckPing() == nil {
		return "icmp"
	}
	return fmt.Sprintf("tcp:%d open", port)
}

func TestAKilledAgentWhoseHostAnswersIsAnAlertAtOnce(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	first, second := listenOnAllHosts(t), listenOnAllHosts(t)
	cfg.KeepAlive.HostProbe, cfg.KeepAlive.HostProbePorts, cfg.NATS.HighAlertThreshold = true, []int{first}, 8
	h := startTestNode(t, cfg)
	agents := h.startAgents(keyFile, func(c *agentsim.Config) { c.Spread = true })
	h.waitAllActive(allIDs...)
	kill := func(id string, port int) {
		t.Helper()
		if err := agents.Fail(id, agentsim.Kill); err != nil {
			t.Fatal(err)
		}
		c := h.nextChange(id, event.Disconnected)
		if c.Host != event.HostAnswers || c.HostProbe != answerOf(port) || c.HostProbedAt == 0 || c.AlertLevel != 10 || c.Technique != event.ImpairDefenses ||
			!slices.Contains(c.Confidence, event.SawConnectionClosed) || !slices.Contains(c.Confidence, event.SawHostAnswer) {
			t.Errorf("%s: %+v", id, c)
		}
		h.nextMessage("alert of "+id, func(m receivedMessage) bool {
			return m.Subject == "wazuh.xdr.alerts.agent_disconnected" && m.Change.AgentID == id && m.Change.Host == event.HostAnswers
		})
	}
	kill("001", first)
	other := *cfg
	other.KeepAlive.HostProbePorts = []int{second}
	if _, err := h.node.Reload(&other); err != nil {
		t.Fatal(err)
	}
	kill("002", second)
	if n := h.node.hosts.Counts(); n != [...]uint64{hostprobe.Answers: 2, hostprobe.Silent: 0} {
		t.Errorf("probes: %v", n)
	}
	other.KeepAlive.HostProbe = false
	if _, err := h.node.Reload(&other); err != nil {
		t.Fatal(err)
	}
	if err := agents.Fail("003", agentsim.Kill); err != nil {
		t.Fatal(err)
	}
	if c := h.nextChange("003", event.Disconnected); c.Host != event.HostUnknown || c.HostProbe != "" || c.AlertLevel != 6 {
		t.Errorf("with host_probe no: %+v", c)
	}
	if n := h.node.hosts.Counts(); n[hostprobe.Answers] != 2 {
		t.Errorf("probes with host_probe no: %v", n)
	}
}

func TestAnAddressThatSeveralAgentsHaveIsNotAsked(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	cfg.KeepAlive.HostProbe, cfg.KeepAlive.HostProbePorts = true, []int{listenOnAllHosts(t)}
	h := startTestNode(t, cfg)
	agents := h.startAgents(keyFile) // all at 127.0.0.1
	h.waitAllActive(allIDs...)
	if err := agents.Fail("001", agentsim.Kill); err != nil {
		t.Fatal(err)
	}
	if c := h.nextChange("001", event.Disconnected); c.Host != event.HostUnknown || c.HostProbe != "" {
		t.Errorf("%+v", c)
	}
	if n := h.node.hosts.Counts(); n != [...]uint64{hostprobe.Silent: 0} {
		t.Errorf("probes: %v", n)
	}
}

func TestAHostThatDoesNotAnswerInTimeHoldsUpNoLoss(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	cfg.KeepAlive.HostProbe = true
	h := openTestNode(t, cfg)
	h.node.hosts = hostprobe.New(nil, func(ctx context.Context, _ netip.Addr, _ []int) (hostprobe.Result, error) {
		<-ctx.Done()
		return hostprobe.Result{}, ctx.Err()
	}, h.node.log)
	h.subscribe(cfg)
	h.startNode()
	agents := h.startAgents(keyFile, func(c *agentsim.Config) { c.Spread = true })
	h.waitAllActive(allIDs...)
	began := time.Now()
	if err := agents.Fail("001", agentsim.Kill); err != nil {
		t.Fatal(err)
	}
	if c := h.nextChange("001", event.Disconnected); c.Host != event.HostUnknown || c.HostProbe != "" || time.Since(began) < detector.ProbeWait {
		t.Errorf("after %v: %+v", time.Since(began), c)
	}
}
