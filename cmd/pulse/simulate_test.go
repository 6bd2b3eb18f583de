package main

import (
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/agentsim"
)

func TestSimulationsAreSummedUp(t *testing.T) {
	var text strings.Builder
	printSimSummary(&text, &agentsim.Stats{Agents: 1, Connected: 1, Startups: 2, KeepAlives: 1, Requests: 3, Lost: 1,
		Ack: agentsim.Latency{Count: 1, P50: 123456, P99: 1234567, Max: 2 * time.Second}})
	want := `
1 of 1 agent connected at the end, after 2 startups and 1 keep-alive.
  ack to a keep-alive: p50 120µs, p99 1.23ms, max 2s (1)
  ack to a startup:    p50 0s, p99 0s, max 0s (0)
  3 requests answered; 0 refused, 0 without an answer, 1 lost, 0 fell silent, 0 garbled
`
	if text.String() != want {
		t.Errorf("got %s\nwant %s", text.String(), want)
	}
}
