package demo

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestAnOutageOfTheServerIsToldFromItsBeginningToTheLastMessage(t *testing.T) {
	var out bytes.Buffer
	var way serverState
	p := newRun(&environment{readServerState: func() serverState { return way }}, &out, runStart)
	for _, step := range []struct {
		at    float64
		way   serverState
		heard uint64 // up to this message
		says  string // "" for nothing
		dark  bool
	}{
		{1, serverState{true, 0, 10}, 10, "", false},
		{1.5, serverState{false, 0, 10}, 10, "", false}, // too soon to look again
		{2, serverState{false, 2, 12}, 10, "2.0s  NATS: the server is away", true},
		{3, serverState{false, 5, 15}, 10, "", true},
		{12, serverState{false, 90, 100}, 10, "12.0s  NATS: still away, 90 messages wait", true},
		{14, serverState{true, 70, 120}, 30, "14.0s  NATS: the server is back after 12s", true},
		{15, serverState{true, 0, 130}, 119, "", true},
		{16, serverState{true, 0, 140}, 121, "16.0s  NATS: caught up within 2s: 90 messages had waited, 0 are missing", false},
		{17, serverState{true, 0, 141}, 140, "", false},
	} {
		for p.sequences.highest < step.heard {
			p.sequences.addSequence(p.sequences.highest + 1)
		}
		out.Reset()
		way = step.way
		p.checkServer(p, at(step.at))
		if got := out.String(); !strings.Contains(got, step.says) || step.says == "" && got != "" || p.messagesDelayed() != step.dark {
			t.Errorf("after %v s: %q, dark %v", step.at, got, p.messagesDelayed())
		}
	}
	if p.outages != 1 || p.longest != 12*time.Second {
		t.Errorf("%d outages, %v", p.outages, p.longest)
	}
}
